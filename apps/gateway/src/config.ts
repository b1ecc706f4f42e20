import { VOICE_LEASE_EVERY_MS } from '@conntext/contracts'
import { type Environment, parseConfig } from '@conntext/kernel'
import { type Static, Type } from '@sinclair/typebox'

/** A token bucket: refilled at `perSecond`, holding at most `burst`. 0 per second turns the limit off. */
export type Rate = { perSecond: number; burst: number }

export type GatewayConfig = {
  hostname: string
  /** 0 takes any free one. */
  port: number
  /** How many reverse proxies stand in front: that many hops of X-Forwarded-For are believed. */
  trustedProxies: number
  /** Origins whose pages may call; `*` for all, which is safe as there are no cookies. */
  corsOrigins: string[]
  maxUrlBytes: number
  /** Of bodies on JSON routes; uploads are bounded by the service that takes them. */
  maxJsonBytes: number
  /** Requests by account or API token, by address (IPv6: by /64), and to the routes that take credentials, by address. */
  rates: { account: Rate; address: Rate; credentials: Rate }
  /** Clients whose rate is remembered; the least recent are forgotten first. */
  maxBuckets: number
  socket: {
    identifyMs: number
    heartbeatMs: number
    maxFrameBytes: number
    /** Frames of one connection. */
    frames: Rate
    /** `message.send` of one account, over all its connections. */
    messages: Rate
    /** `typing` of one account, and `presence` of one connection. */
    typing: Rate
    presences: Rate
    maxConnections: number
    maxConnectionsPerUser: number
    /** Queued bytes at which a connection is cut at once. */
    maxBufferedBytes: number
    /** Queued bytes that a connection may not stay above for longer than `slowMs`. */
    slowBytes: number
    slowMs: number
    /** Whether clients may ask for permessage-deflate. */
    compression: boolean
    /** How often the connections' deadlines are looked at. */
    sweepMs: number
  }
  streams: {
    /** How often held streams are compared with their owners' heads. */
    reconcileMs: number
    /** How long an overtaken event is waited for before the missing ones are fetched. */
    gapWaitMs: number
    /** How long a stream that nobody needs is kept. */
    lingerMs: number
    /** Recent frames of each stream kept for connections that come back. */
    ringFrames: number
    ringAgeMs: number
    /** Events of one stream replayed at most; whoever missed more is told to reset. */
    maxReplay: number
  }
  presence: {
    /** For how long changes are gathered before clients, and other gateways, are told of them. */
    windowMs: number
    announceMs: number
    /** How many presences one frame tells at most. */
    maxPerFrame: number
    /** What telling all clients may take: with many of them frames come less often. */
    bytesPerSecond: number
    /** How long somebody whose last connection has gone still counts as there. */
    graceMs: number
    /** How often a gateway says that it lives, and how long what it said holds when it doesn't. */
    aliveMs: number
    leaseMs: number
    /** How often it is looked at what has run out. */
    tickMs: number
    /** How long a gateway that starts waits at most for what the others know. */
    joinMs: number
  }
  voice: {
    /** `voice.*` of one connection, but for joining, which counts for an account over all its connections. */
    operations: Rate
    joins: Rate
    /** How often nodes hear whom of theirs this gateway has. */
    leaseMs: number
    /** How often it is looked at which nodes are silent. */
    sweepMs: number
  }
  typing: {
    /** How long somebody counts as typing. */
    lastsMs: number
    /** For how long it isn't told again. */
    againMs: number
    /** How many people may be told of in one channel at a time. */
    maxPerChannel: number
    /** What is beyond this is dropped: each event counts for every connection that it would go to. */
    deliveriesPerSecond: number
  }
  /** How long a service may take to begin its answer, but to an upload. What was asked may still be done then. */
  answerMs: number
  /** How long requests are still taken at a stop, so that whoever balances load sees it first. */
  lingerMs: number
  /** How long requests under way may take to finish at a stop. */
  drainMs: number
  /** For how long a service that has been there may be away before the gateway isn't ready: as long as its restart takes. */
  patienceMs: number
}

export const gatewayDefaults: GatewayConfig = {
  hostname: '0.0.0.0',
  port: 8080,
  trustedProxies: 0,
  corsOrigins: ['*'],
  maxUrlBytes: 8192,
  maxJsonBytes: 1_048_576,
  rates: {
    account: { perSecond: 100, burst: 600 },
    address: { perSecond: 100, burst: 600 },
    credentials: { perSecond: 20, burst: 200 },
  },
  maxBuckets: 100_000,
  socket: {
    identifyMs: 10_000,
    heartbeatMs: 30_000,
    // The longest message that any server allows, with every character as a pair of escapes, and some.
    maxFrameBytes: 524_288,
    frames: { perSecond: 500, burst: 2_000 },
    messages: { perSecond: 100, burst: 1_000 },
    typing: { perSecond: 2, burst: 10 },
    presences: { perSecond: 0.5, burst: 5 },
    maxConnections: 20_000,
    maxConnectionsPerUser: 1_000,
    maxBufferedBytes: 4_194_304,
    slowBytes: 1_048_576,
    slowMs: 10_000,
    compression: true,
    sweepMs: 1_000,
  },
  streams: {
    reconcileMs: 4_000,
    gapWaitMs: 25,
    lingerMs: 30_000,
    ringFrames: 256,
    ringAgeMs: 30_000,
    maxReplay: 5_000,
  },
  presence: {
    windowMs: 250,
    announceMs: 50,
    maxPerFrame: 200,
    bytesPerSecond: 50_000_000,
    graceMs: 12_000,
    aliveMs: 3_000,
    leaseMs: 10_000,
    tickMs: 1_000,
    joinMs: 1_000,
  },
  typing: { lastsMs: 8_000, againMs: 3_000, maxPerChannel: 50, deliveriesPerSecond: 50_000 },
  // Whoever joins a call asks for each stream in it twice.
  voice: {
    operations: { perSecond: 100, burst: 1_500 },
    joins: { perSecond: 1, burst: 20 },
    leaseMs: VOICE_LEASE_EVERY_MS,
    sweepMs: 1_000,
  },
  answerMs: 30_000,
  lingerMs: 0,
  drainMs: 10_000,
  patienceMs: 0,
}

type Overrides = {
  [K in keyof GatewayConfig]?: GatewayConfig[K] extends unknown[] | string | number
    ? GatewayConfig[K]
    : Partial<GatewayConfig[K]>
}

/** The defaults with what is given put over them, group by group. */
export const gatewayConfig = (overrides: Overrides = {}): GatewayConfig => ({
  ...gatewayDefaults,
  ...overrides,
  rates: { ...gatewayDefaults.rates, ...overrides.rates },
  socket: { ...gatewayDefaults.socket, ...overrides.socket },
  streams: { ...gatewayDefaults.streams, ...overrides.streams },
  presence: { ...gatewayDefaults.presence, ...overrides.presence },
  typing: { ...gatewayDefaults.typing, ...overrides.typing },
  voice: { ...gatewayDefaults.voice, ...overrides.voice },
})

const count = (initial: number, maximum = 1_000_000) => Type.Integer({ minimum: 0, maximum, default: initial })
const { rates, socket } = gatewayDefaults

/** The environment variables that set up a gateway. A rate of 0 turns that limit off. */
export const gatewaySettings = Type.Object({
  CONNTEXT_HOST: Type.String({ default: gatewayDefaults.hostname, expects: 'an address to listen on' }),
  CONNTEXT_PORT: count(gatewayDefaults.port, 65_535),
  CONNTEXT_TRUSTED_PROXIES: count(0, 10),
  CONNTEXT_CORS_ORIGINS: Type.String({
    default: '*',
    pattern: '^(\\*|https?://[^\\s,/]+(\\s*,\\s*https?://[^\\s,/]+)*|none)$',
    expects: '*, none, or origins such as https://chat.example.org, separated by commas',
  }),
  CONNTEXT_RATE_ACCOUNT: count(rates.account.perSecond),
  CONNTEXT_RATE_ACCOUNT_BURST: count(rates.account.burst),
  CONNTEXT_RATE_ADDRESS: count(rates.address.perSecond),
  CONNTEXT_RATE_ADDRESS_BURST: count(rates.address.burst),
  CONNTEXT_RATE_CREDENTIALS: count(rates.credentials.perSecond),
  CONNTEXT_RATE_CREDENTIALS_BURST: count(rates.credentials.burst),
  CONNTEXT_RATE_FRAMES: count(socket.frames.perSecond),
  CONNTEXT_RATE_FRAMES_BURST: count(socket.frames.burst),
  CONNTEXT_RATE_MESSAGES: count(socket.messages.perSecond),
  CONNTEXT_RATE_MESSAGES_BURST: count(socket.messages.burst),
  CONNTEXT_MAX_CONNECTIONS: count(socket.maxConnections),
  CONNTEXT_MAX_CONNECTIONS_PER_USER: count(socket.maxConnectionsPerUser),
  CONNTEXT_COMPRESSION: Type.Boolean({ default: socket.compression }),
})

/** A gateway's configuration from the environment. @throws ConfigError that names every fault. */
export const readGatewayConfig = (env: Environment): GatewayConfig => toGatewayConfig(parseConfig(gatewaySettings, env))

export function toGatewayConfig(read: Static<typeof gatewaySettings>): GatewayConfig {
  const origins = read.CONNTEXT_CORS_ORIGINS
  return gatewayConfig({
    hostname: read.CONNTEXT_HOST,
    port: read.CONNTEXT_PORT,
    trustedProxies: read.CONNTEXT_TRUSTED_PROXIES,
    corsOrigins: origins === 'none' ? [] : origins.split(',').map((origin) => origin.trim()),
    rates: {
      account: { perSecond: read.CONNTEXT_RATE_ACCOUNT, burst: read.CONNTEXT_RATE_ACCOUNT_BURST },
      address: { perSecond: read.CONNTEXT_RATE_ADDRESS, burst: read.CONNTEXT_RATE_ADDRESS_BURST },
      credentials: { perSecond: read.CONNTEXT_RATE_CREDENTIALS, burst: read.CONNTEXT_RATE_CREDENTIALS_BURST },
    },
    socket: {
      frames: { perSecond: read.CONNTEXT_RATE_FRAMES, burst: read.CONNTEXT_RATE_FRAMES_BURST },
      messages: { perSecond: read.CONNTEXT_RATE_MESSAGES, burst: read.CONNTEXT_RATE_MESSAGES_BURST },
      maxConnections: read.CONNTEXT_MAX_CONNECTIONS,
      maxConnectionsPerUser: read.CONNTEXT_MAX_CONNECTIONS_PER_USER,
      compression: read.CONNTEXT_COMPRESSION,
    },
  })
}

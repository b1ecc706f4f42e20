import { type Bus, createMemoryBus } from '@conntext/bus'
import type { MessagingPort, ServiceHealth, SystemPort } from '@conntext/contracts'
import { access, baseApp, Guard } from '@conntext/http'
import { type Clock, silentLogger } from '@conntext/kernel'
import { noCalls, testAuthority } from '@conntext/testing'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { createGateway, type GatewayDeps, gatewayConfig } from '../../src/service.ts'
import { Client } from './client.ts'
import { type Logs, sender } from './streams.ts'

type Overrides = NonNullable<Parameters<typeof gatewayConfig>[0]>

export type StackOptions = {
  config?: Overrides
  logs?: Logs
  /** What the gateway listens on, made of the bus that everybody else uses. */
  gatewayBus?: (bus: Bus) => Bus
  /** What messaging answers instead. */
  sendMessages?: MessagingPort['sendMessages']
  /** Changes what the ports answer. */
  ports?: (ports: GatewayDeps['ports']) => GatewayDeps['ports']
  upstreams?: Partial<GatewayDeps['upstreams']>
  /** The gateway's. */
  clock?: Clock
  /** Another instance of the same server: it shares the bus and the accounts, and no more. */
  beside?: { bus: Bus; authority: Awaited<ReturnType<typeof testAuthority>> }
}

const UNLIMITED = { perSecond: 0, burst: 0 }
const noRates = { account: UNLIMITED, address: UNLIMITED, credentials: UNLIMITED }

/** Nothing has ever happened here: for tests that are not about streams. */
const emptyStreams: Pick<SystemPort, 'streamHeads' | 'streamEvents'> = {
  streamHeads: async ({ streams }) => ({ heads: Object.fromEntries(streams.map((stream) => [stream, 0])) }),
  streamEvents: async () => ({ events: [], truncated: false }),
}

/** Nobody here has ever written to anybody. */
const noConversations: Pick<
  MessagingPort,
  'conversationsOf' | 'conversation' | 'acknowledgeDeliveries' | 'assertAccepted'
> = {
  conversationsOf: async () => ({ memberships: [], newest: [], next: null }),
  conversation: async () => null,
  acknowledgeDeliveries: async () => ({}),
  assertAccepted: async () => ({}),
}

/** Nobody here has anything against anybody. */
const noBlocks: Pick<MessagingPort, 'contactsOf'> = {
  contactsOf: async () => ({ blocks: [], dmsFrom: 'everyone' }),
}

/** Nobody here has ever read anything. */
const nothingRead: Pick<MessagingPort, 'markRead' | 'readStates'> = {
  markRead: async ({ channelId }) => ({ channelId, lastReadSeq: 0 }),
  readStates: async () => ({ states: [] }),
}

/** A gateway on a port of its own, in front of small services, with real tokens and real sockets. */
export async function startStack(options: StackOptions = {}) {
  const bus = options.beside?.bus ?? createMemoryBus(silentLogger)
  const authority = options.beside?.authority ?? (await testAuthority(bus))
  const log = silentLogger
  let skewMs = 0
  // The guard's clock alone, so that its caches can be made to run out.
  const guard = new Guard({ auth: authority.port, bus, log, clock: { now: () => new Date(Date.now() + skewMs) } })
  await guard.start()
  const health = new Map<string, () => Promise<ServiceHealth>>()
  const healthOf = (service: string) => () =>
    health.get(service)?.() ?? Promise.resolve({ service, state: 'up' as const, dependencies: [] })
  const { logs } = options
  const ports: GatewayDeps['ports'] = {
    auth: { ownUser: authority.port.ownUser, health: healthOf('auth') },
    system: { ...(logs?.system ?? emptyStreams), health: healthOf('system') },
    messaging: {
      ...(logs?.messaging ?? emptyStreams),
      ...noConversations,
      ...nothingRead,
      ...noBlocks,
      sendMessages:
        options.sendMessages ??
        (logs
          ? sender(logs, bus)
          : async () => {
              throw new Error('this test sends nothing')
            }),
      health: healthOf('messaging'),
    },
    realtime: { ...noCalls, health: healthOf('realtime') },
  }
  const services = testServices(guard)
  const gateway = createGateway({
    config: gatewayConfig({
      port: 0,
      hostname: '127.0.0.1',
      rates: noRates,
      ...options.config,
      // These clients send no heartbeats, however long a busy machine takes.
      socket: { sweepMs: 20, heartbeatMs: 600_000, ...options.config?.socket },
    }),
    log,
    ...(options.clock ? { clock: options.clock } : {}),
    bus: options.gatewayBus?.(bus) ?? bus,
    guard,
    upstreams: { ...services, ...options.upstreams },
    ports: options.ports?.(ports) ?? ports,
    openapi: testDocument,
    asyncapi: 'asyncapi: 3.0.0\n',
    version: '0.0.0-test',
  })
  const { port } = await gateway.start()
  const url = `http://127.0.0.1:${port}`
  const clients: Client[] = []

  const connect = (query = ''): Client => {
    const client = new Client(`ws://127.0.0.1:${port}/v1/gateway${query}`)
    clients.push(client)
    return client
  }

  return {
    url,
    port,
    bus,
    authority,
    guard,
    health,
    gateway,
    connect,
    /** Changes something, says so to nobody, and lets what the guard remembers run out. */
    unannounced(change: () => void) {
      change()
      skewMs += 61_000
    },
    /** A client that has had its `ready`, or its replay with `cursors`. */
    async enter(token: string, cursors?: Record<string, number>, query = '') {
      const client = connect(query)
      await client.op('hello')
      client.send({ op: 'identify', token, ...(cursors ? { cursors } : {}) })
      const ready = await client.op('ready')
      return { client, ready }
    },
    async metrics(): Promise<string> {
      const { token } = await authority.member({ permissions: ['system.view'] })
      return (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close()
      await gateway.stop()
      await guard.stop()
    },
  }
}

export type Stack = Awaited<ReturnType<typeof startStack>>

const secured = { security: [{ bearer: [] }], responses: {} }
const open = { security: [], responses: {} }

/** The paths of `testServices`, as the merged document would have them. */
const testDocument = {
  openapi: '3.1.0',
  paths: {
    '/v1/users/@me': { get: secured },
    '/v1/users/{id}': { get: secured, patch: secured },
    '/v1/auth/login': { post: { ...open, operationId: 'login' } },
    '/v1/webhooks/{webhookId}/{secret}': { post: open },
    '/v1/server': { get: secured, patch: secured },
    '/livez': { get: open },
    '/v1/search': { get: secured },
    '/v1/channels/{channelId}/messages': { post: secured },
    '/v1/uploads': { post: secured },
    '/v1/voice/ice-servers': { get: secured },
  },
}

/** One service behind all four names: it says who asked for what, as the services see it. */
function testServices(guard: Guard): GatewayDeps['upstreams'] {
  const build = (service: string) => {
    const echo = ({ request }: { request: Request }) => ({
      service,
      url: request.url,
      method: request.method,
      headers: Object.fromEntries(request.headers),
    })
    const routes = new Elysia({ normalize: false })
      .use(access({ guard, refused: () => {} }))
      .get('/v1/users/@me', echo, { can: 'member' })
      .get('/v1/users/:id', echo, { can: 'member' })
      .patch('/v1/users/:id', echo, { can: 'member', parse: 'json' })
      .post('/v1/auth/login', ({ body }) => ({ got: JSON.stringify(body).length }), { public: true, parse: 'json' })
      .get('/v1/server', echo, { can: 'member' })
      .patch('/v1/server', ({ body }) => ({ got: JSON.stringify(body).length }), { can: 'member', parse: 'json' })
      .get('/v1/search', echo, { can: 'member', query: Type.Object({ q: Type.String() }) })
      .post('/v1/webhooks/:id/:secret', echo, { public: true, parse: 'json' })
      .post('/v1/channels/:id/messages', echo, { can: 'member', parse: 'json' })
      .get('/v1/voice/ice-servers', echo, { can: 'member' })
      .post(
        '/v1/uploads',
        async ({ request }) => {
          let bytes = 0
          for await (const chunk of request.body!) bytes += (chunk as Uint8Array).byteLength
          return { bytes }
        },
        { can: 'member', parse: 'none' },
      )
    const app = baseApp({ log: silentLogger, rawBodies: ['/v1/uploads'] }).use(routes)
    return (request: Request) => app.handle(request)
  }
  return { auth: build('auth'), system: build('system'), messaging: build('messaging'), realtime: build('realtime') }
}

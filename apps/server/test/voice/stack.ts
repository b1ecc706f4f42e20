import { type Bus, createMemoryBus } from '@conntext/bus'
import {
  type MessagingPort,
  type Permission,
  type RealtimePort,
  realtimePort,
  type SystemPort,
  VoiceBoard,
  type VoicePort,
  type VoiceWords,
  voiceSubjects,
} from '@conntext/contracts'
import { createGateway, type GatewayDeps, gatewayConfig } from '@conntext/gateway'
import { callPort, dependencyErrors, Guard, type Service } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { createRealtimeService } from '@conntext/realtime'
import { locateWorker } from '@conntext/realtime/worker'
import { eventually, testAuthority } from '@conntext/testing'
import { Caller, type Member } from './caller.ts'

const location = await locateWorker()
export const hasWorker = location.kind === 'found'
export const skipped = location.kind === 'found' ? '' : ` (skipped: ${location.reason})`

const log = silentLogger
const credential = 'credential-of-this-test'
const unlimited = { perSecond: 0, burst: 0 }
const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })
const still = async () => ({})

/** Nothing has ever been said here. */
const silence: Pick<SystemPort, 'streamHeads' | 'streamEvents'> = {
  streamHeads: async ({ streams }) => ({ heads: Object.fromEntries(streams.map((stream) => [stream, 0])) }),
  streamEvents: async () => ({ events: [], truncated: false }),
}
const messaging = {
  ...{ ...silence, health, assertAccepted: still, recordCalls: still },
  conversationsOf: async () => ({ memberships: [], newest: [], next: null }),
  conversation: async () => null,
  readStates: async () => ({ states: [] }),
  contactsOf: async () => ({ blocks: [], dmsFrom: 'everyone' }),
} as unknown as MessagingPort

export type GatewayOptions = {
  config?: Parameters<typeof gatewayConfig>[0]
  /** What it listens on, made of the bus that everybody else uses. */
  bus?: (bus: Bus) => Bus
  /** What it asks, made of the port of the nodes. */
  port?: (port: RealtimePort) => GatewayDeps['ports']['realtime']
  system?: typeof silence
}

type TestNode = {
  name: string
  alive: boolean
  /** How often it has looked whether the bus is there. */
  readonly checks: number
  service: Service
  port: RealtimePort
  /** As if its process were gone at once. */
  kill(): void
  stop(): Promise<void>
}

type On = {
  gateway?: number
  member?: Member
  permissions?: Permission[]
  cursors?: Record<string, number>
}

/** Real gateways before real nodes with real workers, each on an address of its own, on one bus. */
export async function startCalls(options: { gateways?: GatewayOptions[]; nodes?: number } = {}) {
  const bus = createMemoryBus(log)
  const clock = movableClock()
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log, clock })
  await guard.start()
  const board = new VoiceBoard()
  await bus.subscribe(voiceSubjects.nodes, (words) => void board.hear(JSON.parse(words), performance.now()))
  const nodes: TestNode[] = []
  const reach = (url: string): VoicePort => {
    const { port, alive } = nodes[Number(new URL(url).hostname.slice(1))]!
    return alive ? port : unreachable
  }
  for (let index = 0; index < (options.nodes ?? 1); index += 1) {
    nodes.push(await startNode({ bus, clock, guard, url: `http://n${index}`, reach }))
  }

  /** As a transport does: the first node that is there. */
  const asked = new Proxy({} as RealtimePort, {
    get: (_, name: keyof RealtimePort) => nodes.find(({ alive }) => alive)!.port[name],
  })
  const gateways = await Promise.all(
    (options.gateways ?? [{}]).map(async ({ config, bus: wrap, port, system = silence }) => {
      const gateway = createGateway({
        config: gatewayConfig({
          ...{ port: 0, hostname: '127.0.0.1', drainMs: 100 },
          ...config,
          // These clients send none, however long a busy machine takes.
          socket: { sweepMs: 20, heartbeatMs: 600_000, ...config?.socket },
          rates: { account: unlimited, address: unlimited, credentials: unlimited },
          voice: { joins: unlimited, operations: unlimited, leaseMs: 100, sweepMs: 50, ...config?.voice },
        }),
        ...{ log, guard, bus: wrap?.(bus) ?? bus, openapi: {}, asyncapi: '', version: '0.0.0-test' },
        upstreams: {} as never,
        ports: {
          auth: { ownUser: authority.port.ownUser, health },
          system: { ...system, health },
          messaging,
          realtime: port?.(asked) ?? asked,
        },
      })
      const { port: listening } = await gateway.start()
      return { gateway, address: `127.0.0.1:${listening}`, url: `ws://127.0.0.1:${listening}/v1/gateway` }
    }),
  )
  const callers: Caller[] = []

  return {
    ...{ bus, clock, authority, guard, nodes, gateways, asked },
    /** The node that has a channel's call. */
    home: (channelId: string) => nodes.find(({ name }) => name === board.nodeOf(channelId))!,
    voiceChannel: () => authority.channel({ type: 'voice' }),
    /** Somebody who has had their `ready`. */
    async person(on: On = {}) {
      const member = on.member ?? (await authority.member(on.permissions ? { permissions: on.permissions } : {}))
      const caller = await Caller.connect(gateways[on.gateway ?? 0]!.url, member, on.cursors)
      callers.push(caller)
      return caller
    },
    /** What a moderator does. */
    moderate: (by: Caller, whom: Caller, action: 'mute' | 'unmute' | 'move' | 'disconnect', to?: string) =>
      asked.voiceModerate({
        caller: { ...callerOf(by), kind: 'user' },
        ...{ reason: null, channelId: whom.joined!.channelId, userId: whom.userId, action },
        ...(to === undefined ? {} : { to }),
      }),
    /** Who may not see a channel any more, or may again. */
    async hide(channelId: string, targetId: string, hidden: boolean) {
      const { snapshot } = authority
      snapshot.overrides = snapshot.overrides.filter((one) => one.channelId !== channelId || one.targetId !== targetId)
      if (hidden) {
        snapshot.overrides.push({ channelId, targetKind: 'member', targetId, allow: [], deny: ['channel.view'] })
      }
      await authority.changed()
    },
    async [Symbol.asyncDispose]() {
      for (const caller of callers) caller.close()
      for (const { gateway } of gateways) await gateway.stop()
      for (const { service } of nodes) await service.stop()
      await guard.stop()
    },
  }
}

const callerOf = ({ userId }: Caller) => ({
  ...{ userId, sessionId: userId, scopes: null, address: null, userAgent: null, requestId: userId },
})

type Around = {
  bus: Bus
  clock: ReturnType<typeof movableClock>
  guard: Guard
  url: string
  reach(url: string): VoicePort
}

async function startNode({ bus, clock, guard, url, reach }: Around): Promise<TestNode> {
  const own = severable(bus)
  const service = createRealtimeService({
    ...{ log, guard, bus: own.bus, clock, credential, workers: 1, locate: locateWorker, messaging },
    ...{ system: { ingestAudit: still }, maxParticipants: 20 },
    network: { port: 0, listen: ['127.0.0.1'], announced: [] },
    ice: { stunUrls: [], relayOnly: false },
    node: { url, reach },
  } as unknown as Parameters<typeof createRealtimeService>[0])
  const port = callPort(realtimePort, { served: () => service.port })
  const node: TestNode = {
    ...{ name: '', alive: true, service, port },
    get checks() {
      return own.checks
    },
    kill() {
      node.alive = false
      own.sever()
    },
    async stop() {
      await service.stop()
      node.alive = false
    },
  }
  const end = await bus.subscribe(voiceSubjects.nodes, (text) => {
    const words = JSON.parse(text) as VoiceWords
    if (words.k === 'alive' && words.url === url) node.name = words.n
  })
  await service.start()
  await eventually(async () => (await port.voiceStatus({})).state === 'on' && node.name !== '')
  await end()
  return node
}

const unreachable = new Proxy({} as VoicePort, {
  get: () => async () => {
    throw dependencyErrors.away({ retryAfter: 1 })
  },
})

/** A clock that goes by itself, and further when it is told to. */
function movableClock() {
  let ahead = 0
  return {
    now: () => new Date(Date.now() + ahead),
    advance(ms: number) {
      ahead += ms
    },
  }
}

/** A bus to which one process holds on until it is cut off, as one is that was killed. */
export function severable(bus: Bus) {
  const state = {
    severed: false,
    checks: 0,
    sever() {
      state.severed = true
    },
    bus: {
      ...bus,
      async check() {
        await bus.check()
        state.checks += 1
      },
      async publish(subject: string, payload: string) {
        if (!state.severed) await bus.publish(subject, payload)
      },
      subscribe: (subject: string, listener: (payload: string) => void) =>
        bus.subscribe(subject, (payload) => {
          if (!state.severed) listener(payload)
        }),
    } as Bus,
  }
  return state
}

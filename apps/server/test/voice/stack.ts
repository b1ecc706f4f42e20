import { type Bus, createMemoryBus } from '@conntext/bus'
import { type MessagingPort, realtimePort, type SystemPort, type VoicePort } from '@conntext/contracts'
import { createGateway, type GatewayDeps, gatewayConfig } from '@conntext/gateway'
import { callPort, Guard, type Service } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { createRealtimeService } from '@conntext/realtime'
import { locateWorker } from '@conntext/realtime/worker'
import { eventually, testAuthority } from '@conntext/testing'
import { Caller } from './caller.ts'

const location = await locateWorker()
export const hasWorker = location.kind === 'found'
export const skipped = location.kind === 'found' ? '' : ` (skipped: ${location.reason})`

const log = silentLogger
const credential = 'credential-of-this-test'
const unlimited = { perSecond: 0, burst: 0 }
const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })

/** Nothing has ever been said here. */
const silence: Pick<SystemPort, 'streamHeads' | 'streamEvents'> = {
  streamHeads: async ({ streams }) => ({ heads: Object.fromEntries(streams.map((stream) => [stream, 0])) }),
  streamEvents: async () => ({ events: [], truncated: false }),
}
const messaging = {
  ...silence,
  health,
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
  port?: (port: GatewayDeps['ports']['realtime']) => GatewayDeps['ports']['realtime']
}

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

/** Real gateways before real nodes with real workers, each on an address of its own, on one bus. */
export async function startCalls(
  options: { gateways?: GatewayOptions[]; nodes?: number; maxParticipants?: number } = {},
) {
  const bus = createMemoryBus(log)
  const clock = movableClock()
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log, clock })
  await guard.start()
  const nodes: { service: Service; port: ReturnType<typeof portOf>; bus: ReturnType<typeof severable> }[] = []
  const portOf = (index: number) => callPort(realtimePort, { served: () => nodes[index]!.service.port })
  const reach = (url: string): VoicePort => nodes[Number(new URL(url).hostname.slice(1))]!.port

  async function startNode(index: number): Promise<void> {
    const own = severable(bus)
    const service = createRealtimeService({
      ...{ log, guard, bus: own.bus, clock, credential, workers: 1, locate: locateWorker },
      ...{ system: { ingestAudit: async () => ({}) }, maxParticipants: options.maxParticipants ?? 20 },
      network: { port: 0, listen: ['127.0.0.1'], announced: [] },
      node: { url: `http://n${index}`, reach },
    } as never)
    nodes[index] = { service, port: portOf(index), bus: own }
    await service.start()
    await eventually(async () => (await nodes[index]!.port.voiceStatus({})).state === 'on')
  }
  for (let index = 0; index < (options.nodes ?? 1); index += 1) await startNode(index)

  /** As a transport does: the first node that is there. */
  const asked = new Proxy({} as GatewayDeps['ports']['realtime'], {
    get: (_, name: keyof VoicePort) => nodes.find(({ bus: own }) => !own.severed)!.port[name],
  })
  const gateways = await Promise.all(
    (options.gateways ?? [{}]).map(async ({ config, bus: wrap, port }) => {
      const gateway = createGateway({
        config: gatewayConfig({
          ...{ port: 0, hostname: '127.0.0.1', drainMs: 100 },
          ...config,
          socket: { sweepMs: 20, ...config?.socket },
          rates: { account: unlimited, address: unlimited, credentials: unlimited },
          voice: { joins: unlimited, operations: unlimited, leaseMs: 100, sweepMs: 50, ...config?.voice },
        }),
        ...{ log, guard, bus: wrap?.(bus) ?? bus, openapi: {}, asyncapi: '', version: '0.0.0-test' },
        upstreams: {} as never,
        ports: {
          auth: { ownUser: authority.port.ownUser, health },
          system: { ...silence, health },
          messaging,
          realtime: port?.(asked) ?? asked,
        },
      })
      return { gateway, url: `ws://127.0.0.1:${(await gateway.start()).port}/v1/gateway` }
    }),
  )
  const callers: Caller[] = []

  return {
    ...{ bus, clock, authority, guard, nodes, gateways, startNode },
    port: () => asked,
    voiceChannel: () => authority.channel({ type: 'voice' }),
    /** Somebody who has had their `ready`. */
    async person(on: { gateway?: number; token?: string; permissions?: Parameters<typeof authority.member>[0] } = {}) {
      const member = on.token === undefined ? await authority.member(on.permissions) : { userId: '', token: on.token }
      const caller = await Caller.connect(gateways[on.gateway ?? 0]!.url, member)
      callers.push(caller)
      return caller
    },
    async [Symbol.asyncDispose]() {
      for (const caller of callers) caller.close()
      for (const { gateway } of gateways) await gateway.stop()
      for (const { service } of nodes) await service.stop()
      await guard.stop()
    },
  }
}

/** A bus to which one process holds on until it is cut off, as one is that was killed. */
export function severable(bus: Bus) {
  const state = {
    severed: false,
    sever() {
      state.severed = true
    },
    bus: {
      ...bus,
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

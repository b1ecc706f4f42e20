import { type Bus, createMemoryBus } from '@conntext/bus'
import { type AuditEvent, realtimePort, type VoicePort } from '@conntext/contracts'
import { callPort, Guard, type Service } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { eventually, testAuthority } from '@conntext/testing'
import { createRealtimeService, type RealtimeDeps } from '../../src/service.ts'
import { locateWorker } from '../../src/worker/locate.ts'
import { fakeMessaging } from './messaging.ts'
import { Person } from './person.ts'

const location = await locateWorker()
export const hasWorker = location.kind === 'found'
export const skipped = location.kind === 'found' ? '' : ` (skipped: ${location.reason})`

export const network = { port: 0, listen: ['127.0.0.1'], announced: [] }
export const ice: RealtimeDeps['ice'] = { stunUrls: [], turn: undefined, policy: 'all' }

/** A clock that goes by itself, and further when it is told to. */
export const movableClock = () => {
  let ahead = 0
  let wrong = 0
  return {
    now: () => new Date(Date.now() + ahead + wrong),
    elapsed: () => performance.now() + ahead,
    advance(ms: number) {
      ahead += ms
    },
    /** So much it is wrong from now on; no time has passed. */
    set(ms: number) {
      wrong = ms
    },
  }
}

export type TestNode = { service: Service; port: ReturnType<typeof portOf> }

const portOf = (service: () => Service) => callPort(realtimePort, { served: () => service().port })

/** Real nodes with real workers on one bus, which know one another by their addresses. */
export async function startNodes(count: number, options: Partial<RealtimeDeps> = {}) {
  const bus: Bus = createMemoryBus(silentLogger)
  const clock = movableClock()
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log: silentLogger, clock })
  await guard.start()
  const audited: AuditEvent[] = []
  const system = {
    async ingestAudit({ events }: { events: AuditEvent[] }) {
      audited.push(...events)
      return {}
    },
  }
  const messaging = fakeMessaging(bus)
  const nodes: TestNode[] = []
  /** Nodes that the others find nobody at. */
  const unreachable = new Set<string>()
  const reach = (url: string): VoicePort => {
    const { hostname } = new URL(url)
    const { port } = nodes[Number(hostname.slice(1))]!
    return new Proxy(port, {
      get: (_, name: keyof VoicePort) =>
        unreachable.has(hostname) ? () => Promise.reject(new Error('nothing answers')) : port[name],
    })
  }
  const start = async (index: number) => {
    const service = createRealtimeService({
      ...{
        messaging: messaging.port,
        log: silentLogger,
        guard,
        bus,
        clock,
        system,
        network,
        credential: 'credential',
        workers: 1,
      },
      ...{ ice, maxParticipants: 20, locate: locateWorker },
      node: { url: `http://n${index}`, reach },
      ...options,
    })
    nodes[index] = { service, port: portOf(() => service) }
    await service.start()
    const wanted = options.workers ?? 1
    const { port } = nodes[index]
    const ready = async () => {
      const { state, workers } = await port.voiceStatus({})
      return state === 'on' && workers === wanted
    }
    if (hasWorker && wanted > 0) await eventually(ready)
  }
  for (let index = 0; index < count; index += 1) await start(index)
  return {
    ...{ bus, clock, authority, guard, audited, messaging, nodes, start, unreachable },
    get port() {
      return nodes[0]!.port
    },
    voiceChannel: () => authority.channel({ type: 'voice' }),
    async person(given: Parameters<typeof authority.member>[0] & { node?: number } = {}) {
      return Person.connect({ bus, port: nodes[given.node ?? 0]!.port, member: await authority.member(given) })
    },
    async [Symbol.asyncDispose]() {
      for (const { service } of nodes) await service.stop()
      await guard.stop()
    },
  }
}

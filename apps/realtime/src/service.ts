import type { Bus } from '@conntext/bus'
import { realtimePort, type SystemPort, type VoicePort } from '@conntext/contracts'
import { baseApp, createHealth, type Guard, noteAccess, RefusalLog, type Service, servePort } from '@conntext/http'
import { type Clock, type Logger, newId, systemClock } from '@conntext/kernel'
import type { Registry } from 'prom-client'
import { realtimeAudit } from './audit.ts'
import { Calls } from './calls/calls.ts'
import { Notices } from './calls/notices.ts'
import { Operations } from './calls/operations.ts'
import { callRoutes } from './calls/routes.ts'
import { Watch } from './calls/watch.ts'
import { createVoiceFigures, type VoiceFigures } from './figures/figures.ts'
import { Sampler } from './figures/sampler.ts'
import { iceRoutes } from './ice/routes.ts'
import type { IceConfig } from './ice/servers.ts'
import type { VoiceNetwork } from './media/addresses.ts'
import { Engine } from './media/engine.ts'
import { Announcer } from './nodes/announcer.ts'
import { Nodes } from './nodes/nodes.ts'
import { voicePort } from './port.ts'
import { statusRoutes } from './status/routes.ts'
import { voiceStatus, workersProbe } from './status/service.ts'
import type { WorkerGetter } from './worker/getter.ts'
import type { WorkerLocation } from './worker/locate.ts'
import { createWorkerSupervisor } from './worker/supervisor.ts'

export * from './settings.ts'
export { createWorkerGetter } from './worker/getter.ts'

export type RealtimeDeps = {
  log: Logger
  guard: Guard
  bus: Bus
  clock?: Clock
  system: Pick<SystemPort, 'ingestAudit'>
  credential: string
  network: VoiceNetwork
  ice: IceConfig
  /** How many mediasoup workers; by default one a core. */
  workers?: number | undefined
  /** How many may be in one call. */
  maxParticipants: number
  /** How many consumers a worker should have before a call goes on at another one. */
  consumersPerWorker?: number
  /** Where the worker's binary is; by default where `locateWorker` finds it. */
  locate?: () => Promise<WorkerLocation>
  /** Where the figures of calls go, for Prometheus. */
  registry?: Registry | undefined
  /** Gets the binary where there is none; without, it is waited for. */
  getter?: WorkerGetter | undefined
  /** Where other nodes reach this one, and how one is reached; without, this one is the only one. */
  node?: { url: string | null; reach(url: string): VoicePort }
}

/** As many as a worker serves on one core at the rates of calls with video, by mediasoup's own advice. */
const CONSUMERS_PER_WORKER = 400

/** Voice and video. Where no mediasoup worker can be had, the service runs and says so. */
export function createRealtimeService(given: RealtimeDeps): Service {
  const { log, guard, credential, workers, locate, network, ice } = given
  const supervisor = createWorkerSupervisor({
    logger: log,
    ...(workers === undefined ? {} : { count: workers }),
    ...(locate === undefined ? {} : { locate }),
    getter: given.getter,
  })
  const engine: Engine = new Engine({ supervisor, network, log, changed: () => node.sayAlive() })
  const record = async (event: Parameters<SystemPort['ingestAudit']>[0]['events'][number]) => {
    await given.system.ingestAudit({ events: [event] })
  }
  const { clock = systemClock } = given
  const figures = createVoiceFigures(given.registry)
  const refusals = new RefusalLog({ record, clock, log })
  const refused = noteAccess(refusals, realtimeAudit)
  const access = { guard, refused }
  const node: ReturnType<typeof createNode> = createNode({ ...given, clock }, { engine, refused, record, figures })
  let unobserve = () => {}
  const health = createHealth('realtime', [workersProbe(supervisor, engine)])
  return {
    name: 'realtime',
    app: baseApp({ log })
      .use(statusRoutes({ access, supervisor, engine }))
      .use(iceRoutes({ access, ice, clock }))
      .use(callRoutes({ access, port: node.port })),
    port: servePort(
      realtimePort,
      { ...node.port, voiceStatus: async () => voiceStatus(supervisor, engine), health: async () => health() },
      { credential, log },
    ),
    async start() {
      unobserve = figures.observe(node.calls, supervisor)
      refusals.start()
      engine.start()
      await node.start()
      // Not waited for: a worker that is missing or slow to start holds up nothing else.
      void supervisor.start()
    },
    async stop() {
      await node.stop()
      engine.stop()
      unobserve()
      await Promise.all([supervisor.stop(), refusals.stop()])
    },
  }
}

type Around = Pick<ConstructorParameters<typeof Calls>[0], 'engine' | 'refused'> & {
  figures: VoiceFigures
  record: (event: Parameters<SystemPort['ingestAudit']>[0]['events'][number]) => Promise<void>
}

/** This process as one of the nodes that have calls. */
function createNode(given: RealtimeDeps & { clock: Clock }, { engine, refused, record, figures }: Around) {
  const { bus, clock, guard, log, maxParticipants, consumersPerWorker = CONSUMERS_PER_WORKER } = given
  const nodeId = newId()
  let draining = false
  const notices = new Notices({ bus, clock, log })
  const limits = { participants: maxParticipants, consumersPerWorker }
  const calls = new Calls({
    ...{ guard, refused, engine, notices, limits, clock, log },
    changed: (participantId, state) => announcer.changed(participantId, state),
  })
  const announcer = new Announcer({
    ...{ bus, log, nodeId },
    url: given.node?.url ?? null,
    said: () => calls.participants().map(({ id, state }) => ({ p: id, state })),
    load: () => ({
      ...calls.size,
      load: Math.max(0, ...engine.seats().map(({ consumers }) => consumers / consumersPerWorker)),
      open: !draining && engine.seats().length > 0,
    }),
  })
  const nodes = new Nodes({
    ...{ bus, log, nodeId },
    reach: (url) => given.node!.reach(url),
    heard: (other, said) => calls.heardElsewhere(other < nodeId, said),
  })
  const operations = new Operations({ guard, refused, calls, notices, figures, announced: given.network.announced })
  const watch = new Watch({ calls, notices, guard, bus, clock, log, nodeId })
  const moderation = { guard, refused, calls, notices, record }
  const sampler = new Sampler({ calls, log, took: figures.sampled })
  return {
    calls,
    port: voicePort({ nodeId, nodes, calls, operations, moderation, figures, now: () => clock.now().getTime() }),
    sayAlive: () => announcer.sayAlive(),
    async start() {
      await nodes.start()
      await announcer.start()
      await watch.start()
      sampler.start()
    },
    /** Its calls go on elsewhere: nobody is sent here any more, and everybody is told to come again. */
    async stop() {
      draining = true
      announcer.sayAlive()
      sampler.stop()
      await watch.stop()
      calls.dissolveAll()
      announcer.flush()
      await announcer.stop()
      await nodes.stop()
    },
  }
}

import type { Bus } from '@conntext/bus'
import { type MessagingPort, realtimePort, type SystemPort, type VoicePort } from '@conntext/contracts'
import {
  baseApp,
  busProbe,
  createHealth,
  type Guard,
  noteAccess,
  RefusalLog,
  type Service,
  servePort,
} from '@conntext/http'
import { type Clock, elapsedMs, type Logger, newId, systemClock } from '@conntext/kernel'
import type { Registry } from 'prom-client'
import { realtimeAudit } from './audit.ts'
import type { Call } from './calls/call.ts'
import { Calls } from './calls/calls.ts'
import { Notices } from './calls/notices.ts'
import { Operations } from './calls/operations.ts'
import { callRoutes } from './calls/routes.ts'
import { Watch } from './calls/watch.ts'
import { Conversations } from './conversations/conversations.ts'
import { createVoiceFigures, type VoiceFigures } from './figures/figures.ts'
import { Sampler } from './figures/sampler.ts'
import { Recorder } from './history/recorder.ts'
import { iceRoutes } from './ice/routes.ts'
import type { IceConfig } from './ice/servers.ts'
import type { VoiceNetwork } from './media/addresses.ts'
import { Announced, type Lookup } from './media/announced.ts'
import { Engine } from './media/engine.ts'
import { Announcer } from './nodes/announcer.ts'
import { Nodes } from './nodes/nodes.ts'
import { voicePort } from './port.ts'
import { Rings } from './rings/rings.ts'
import { examineVoice } from './selftest/examine.ts'
import { selfTestRoutes } from './selftest/routes.ts'
import { SelfTest } from './selftest/service.ts'
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
  messaging: Pick<MessagingPort, 'conversation' | 'assertAccepted' | 'recordCalls'>
  credential: string
  network: VoiceNetwork
  ice: IceConfig
  /** How names are looked up; by default as the system does. */
  lookup?: Lookup | undefined
  /** How many mediasoup workers; by default one a core. */
  workers?: number | undefined
  /** How many may be in one call. */
  maxParticipants: number
  /** How many consumers a worker should have before a call goes on at another one. */
  consumersPerWorker?: number
  /** After how long without anybody who receives a picture its sender is told; 5,000. */
  unwatchedAfterMs?: number
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

const UNWATCHED_AFTER_MS = 5_000

/** Voice and video. Where no mediasoup worker can be had, the service runs and says so. */
export function createRealtimeService(given: RealtimeDeps): Service {
  const { log, credential, workers, locate, network, ice } = given
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
  const refusals = new RefusalLog({ record, audit: realtimeAudit, clock, log })
  const refused = noteAccess(refusals, realtimeAudit)
  const conversations = new Conversations({ messaging: given.messaging, bus: given.bus, clock })
  const guard = given.guard.withConversations((id, userId) => conversations.isParticipant(id, userId))
  const access = { guard, refused }
  const announced = new Announced({ told: network.announced, log, lookup: given.lookup })
  const now = () => clock.now()
  const examine = () => examineVoice({ supervisor, engine, network, announced, ice, now, lookup: given.lookup })
  const around = { conversations, engine, refused, record, figures, announced, examine }
  const node: ReturnType<typeof createNode> = createNode({ ...given, guard, clock }, around)
  let unobserve = () => {}
  const health = createHealth('realtime', [workersProbe(supervisor, engine), busProbe(given.bus)])
  return {
    name: 'realtime',
    app: baseApp({ service: 'realtime', log })
      .use(statusRoutes({ access, supervisor, engine }))
      .use(iceRoutes({ access, ice, clock }))
      .use(callRoutes({ access, port: node.port }))
      .use(selfTestRoutes({ access, port: node.port, clock })),
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
    drain: () => node.drain(),
    async stop() {
      await node.stop()
      engine.stop()
      announced.stop()
      unobserve()
      await Promise.all([supervisor.stop(), refusals.stop()])
    },
  }
}

type Around = Pick<ConstructorParameters<typeof Calls>[0], 'engine' | 'refused'> & {
  conversations: Conversations
  figures: VoiceFigures
  announced: Announced
  examine: ConstructorParameters<typeof SelfTest>[0]['examine']
  record: (event: Parameters<SystemPort['ingestAudit']>[0]['events'][number]) => Promise<void>
}

/** This process as one of the nodes that have calls. */
function createNode(given: RealtimeDeps & { clock: Clock }, around: Around) {
  const { conversations, engine, refused, record, figures, announced, examine } = around
  const { bus, clock, guard, log, maxParticipants, consumersPerWorker = CONSUMERS_PER_WORKER } = given
  const nodeId = newId()
  let draining = false
  const notices = new Notices({ bus, clock, log })
  const { unwatchedAfterMs = UNWATCHED_AFTER_MS } = given
  const limits = { participants: maxParticipants, consumersPerWorker, unwatchedAfterMs }
  const rings = new Rings({ bus, conversations, notices, clock, log })
  const recorder = new Recorder({ messaging: given.messaging, present: () => calls.participants(), clock, log })
  const calls: Calls = new Calls({
    ...{ guard, conversations, refused, engine, notices, limits, clock, log },
    observer: {
      entered(participant, { begins }) {
        const { call, userId } = participant
        recorder.entered(participant)
        // What was looked at as they joined may have changed, and of who wasn't in it yet nobody was told.
        void watch.recheck((one) => one === participant)
        rings.settle(call.channelId, userId, 'answered')
        if (begins && !nodes.wasLost(call.channelId)) rings.begin(call, participant)
      },
      over: (participant, ending) => recorder.over(participant, ending),
      ended(call) {
        rings.ended(call)
        tellQuality(log, call)
      },
    },
    changed: (participantId, state) => announcer.changed(participantId, state),
    silenced: (channelId) => nodes.silenced.take(channelId, performance.now()),
  })
  const announcer = new Announcer({
    ...{ bus, log, nodeId },
    url: given.node?.url ?? null,
    states: () => calls.participants().map(({ id, state }) => ({ p: id, state })),
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
  const operations = new Operations({ guard, conversations, refused, calls, notices, figures, announced })
  const watch: Watch = new Watch({ calls, notices, guard, conversations, bus, clock, log, nodeId })
  const peopleIn = (channelId: string) => nodes.board.states().filter((one) => one.channelId === channelId).length
  const moderation = { guard, conversations, refused, calls, notices, record, peopleIn, maxParticipants }
  /** Its calls go on elsewhere: nobody is sent here any more, and everybody is told to come again. */
  const drain = () => {
    draining = true
    announcer.sayAlive()
    calls.dissolveAll()
    announcer.flush()
  }
  const sampler = new Sampler({ calls, log, took: figures.sampled })
  return {
    calls,
    port: voicePort({
      nodeId,
      nodes,
      calls,
      operations,
      moderation,
      rings,
      figures,
      selfTest: new SelfTest({ nodeId, nodes, examine, log }),
      isDraining: () => draining,
      said: () => announcer.said(),
      now: () => elapsedMs(clock),
    }),
    sayAlive: () => announcer.sayAlive(),
    async start() {
      await nodes.start()
      await announcer.start()
      await watch.start()
      await conversations.start((id) => {
        void watch.recheck(({ call }) => id === undefined || call.channelId === id)
        if (id !== undefined) rings.recheck(id)
      })
      rings.start()
      recorder.start()
      sampler.start()
    },
    drain,
    async stop() {
      drain()
      sampler.stop()
      await watch.stop()
      rings.stop()
      await conversations.stop()
      // Whoever was about to join.
      calls.dissolveAll()
      announcer.flush()
      await recorder.stop()
      await announcer.stop()
      await nodes.stop()
    },
  }
}

/** How a call's media has fared goes to the log, since figures name no calls; nothing where none was measured. */
function tellQuality(log: Logger, { id, channelId, peak, quality }: Call): void {
  const summary = quality.summary()
  if (summary.length > 0) log.info({ callId: id, channelId, people: peak, quality: summary }, 'a call is over')
}

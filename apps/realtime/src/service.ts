import { realtimePort } from '@conntext/contracts'
import { baseApp, createHealth, type Guard, type Service, servePort } from '@conntext/http'
import type { Logger } from '@conntext/kernel'
import { statusRoutes } from './status/routes.ts'
import { voiceStatus, workersProbe } from './status/service.ts'
import type { WorkerLocation } from './worker/locate.ts'
import { createWorkerSupervisor } from './worker/supervisor.ts'

export * from './settings.ts'

export type RealtimeDeps = {
  log: Logger
  guard: Guard
  credential: string
  /** How many mediasoup workers; by default one a core. */
  workers?: number
  /** Where the worker's binary is; by default where `locateWorker` finds it. */
  locate?: () => Promise<WorkerLocation>
}

/** Voice and video. Where no mediasoup worker can be had, the service runs and says so. */
export function createRealtimeService({ log, guard, credential, workers, locate }: RealtimeDeps): Service {
  const supervisor = createWorkerSupervisor({
    logger: log,
    ...(workers === undefined ? {} : { count: workers }),
    ...(locate === undefined ? {} : { locate }),
  })
  const refused = (caller: { userId: string }, permission: string, route: string) =>
    log.info({ userId: caller.userId, permission, route }, 'a request was refused')
  const health = createHealth('realtime', [workersProbe(supervisor)])
  return {
    name: 'realtime',
    app: baseApp({ log }).use(statusRoutes({ access: { guard, refused }, supervisor })),
    port: servePort(
      realtimePort,
      { voiceStatus: async () => voiceStatus(supervisor), health: async () => health() },
      { credential, log },
    ),
    async start() {
      // Not waited for: a worker that is missing or slow to start holds up nothing else.
      void supervisor.start()
    },
    stop: () => supervisor.stop(),
  }
}

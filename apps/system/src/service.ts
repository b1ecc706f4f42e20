import type { Bus } from '@conntext/bus'
import {
  type AuditEvent,
  type AuthPort,
  type MessagingPort,
  type RealtimePort,
  type StreamAppend,
  type SystemHealth,
  systemPort,
} from '@conntext/contracts'
import { KnownTime } from '@conntext/database'
import type { Audit } from '@conntext/db-audit'
import { type ServerDetails, systemIdempotencyKeys, systemKnownTime, systemOutbox } from '@conntext/db-server-details'
import {
  type AccessOptions,
  baseApp,
  type Guard,
  idempotency,
  noteAccess,
  Processes,
  RefusalLog,
  type Service,
  servePort,
} from '@conntext/http'
import { idempotencyStore } from '@conntext/idempotency'
import { type Clock, type Logger, type RunningJob, startJob, systemClock } from '@conntext/kernel'
import { Keyring, type MasterKey } from '@conntext/keyring'
import { OutboxRelay } from '@conntext/outbox'
import { createAuditAnalytics } from './audit/analytics.ts'
import { proofRoutes } from './audit/chain/routes.ts'
import { createAuditChain } from './audit/chain/service.ts'
import type { Ingest } from './audit/ingest.ts'
import { auditRoutes } from './audit/routes.ts'
import { makeWaiting, schedule } from './backups/making.ts'
import { backupRoutes } from './backups/routes.ts'
import type { BackupPlace } from './backups/service.ts'
import { backupProbe, watchBackups } from './backups/watch.ts'
import { announce } from './change.ts'
import { removeLeftOverrides } from './channels/overrides.ts'
import { channelRoutes } from './channels/routes.ts'
import { healthRoutes } from './health/routes.ts'
import { createOwnHealth, createSystemHealth } from './health/service.ts'
import { giveBackAbandoned, type RedeemDeps } from './invites/redeem.ts'
import { inviteRoutes } from './invites/routes.ts'
import { inviteKeys } from './invites/service.ts'
import { loadKeys, systemKeys } from './keys.ts'
import { createLogTeller, dropOldLogs } from './logs/obeying.ts'
import { logRoutes } from './logs/routes.ts'
import { LogStore } from './logs/store.ts'
import { maintenanceRoutes } from './maintenance/routes.ts'
import { ANNOUNCEMENT } from './maintenance/service.ts'
import { implementPort } from './port.ts'
import { Recorder, recordAudit, systemAudit } from './recorder.ts'
import { ICON_WITHDRAWAL, type IconWithdrawal, withdrawIcon } from './server/icon.ts'
import { serverRoutes } from './server/routes.ts'
import { setUp } from './server/service.ts'
import { statusRoutes } from './status/routes.ts'
import { storageRoutes } from './storage/routes.ts'
import { createStorage } from './storage/service.ts'
import { appendForeign } from './streams/service.ts'
import { hearOfWork, LOOK_FOR_WORK_EVERY_MS } from './work.ts'

export type { BackupPlace } from './backups/service.ts'
export * from './settings.ts'

export type SystemDeps = {
  /** As `conntext_system`; at least six connections: the outbox holds one for each of its topics while it delivers. */
  db: ServerDetails
  audit: Audit
  bus: Bus
  log: Logger
  clock?: Clock
  guard: Guard
  /** All that is sealed or hashed here depends on it. */
  masterKey: MasterKey
  auth: Pick<AuthPort, 'health' | 'join'>
  messaging: Pick<
    MessagingPort,
    'appendEvents' | 'channelDeleted' | 'publishImage' | 'withdrawImage' | 'storage' | 'health'
  >
  realtime: Pick<RealtimePort, 'health'>
  credential: string
  version: string
  /** Where the data is, where that is this process's: its disk is watched. */
  dataDirectory?: string
  /** Where checkpoints of the audit log are kept by themselves: on another machine's disk, best. */
  checkpointDirectory?: string | undefined
  /** How long a statement about the audit trail may run, where that isn't the usual time. */
  sqlSeconds?: number
  /** Undefined where this service makes no backups. */
  backups?: BackupPlace | undefined
}

export type SystemService = Service & {
  /** Where logs go. Stopped by whoever runs the service, once nothing is logged any more. */
  logs: LogStore
  /** The health of all services and of what they need: ready unless `down`. */
  readiness(): Promise<SystemHealth>
}

const GIVE_BACK_EVERY_MS = 60_000
const SWEEP_OVERRIDES_EVERY_MS = 600_000
const SAMPLE_EVERY_MS = 3_600_000
const FIRST_SAMPLE_AFTER_MS = 60_000
const LOOK_EVERY_MS = 15_000
const FIRST_LOOK_AFTER_MS = 5_000
const DROP_LOGS_EVERY_MS = 3_600_000
const FIRST_DROP_AFTER_MS = 30_000
const SCHEDULE_EVERY_MS = 60_000

/** Server settings, channels, invites, the audit trail and health; owner of the server's and the users' streams. */
export function createSystemService(given: SystemDeps): SystemService {
  const deps = { clock: systemClock, ...given }
  const keyring = new Keyring({ ...systemKeys, db: deps.db, masterKey: deps.masterKey, log: deps.log })
  const chain = createAuditChain({ ...deps, keyring, nudge: () => relay.nudge() })
  const nudge = () => relay.nudge()
  const recorder = new Recorder({ ...deps, nudge })
  const knownTime = new KnownTime({ ...deps, table: systemKnownTime })
  const analytics = createAuditAnalytics({ ...deps, knownTime, keyring, signers: chain.signers, recorder, nudge })
  const ingest = analytics.telling(chain.ingest)
  const relay = createRelay(deps, ingest)
  const refusals = new RefusalLog({
    ...deps,
    audit: systemAudit,
    async record(event) {
      await recordAudit(deps.db, [event])
      nudge()
    },
  })
  const refused = noteAccess(refusals, systemAudit)
  const logs = new LogStore(deps)
  const logTeller = createLogTeller(deps)
  const processes = new Processes(deps.bus, logTeller.heard)
  let logDropping: RunningJob | undefined
  const logSettings = {
    ...deps,
    nudge,
    apply() {
      void logTeller.tell()
      logDropping?.nudge()
    },
  }
  const keys = inviteKeys(keyring)
  const backing = { ...deps, backups: given.backups, nudge }
  const own = createOwnHealth({
    ...deps,
    knownTime,
    relay,
    logs,
    processes,
    backups: backupProbe(backing),
    chain: chain.probes,
  })
  const { auth, messaging, realtime, log } = deps
  const examination = createSystemHealth(own, { auth, messaging, realtime }, deps)
  const readiness = examination.look
  const options: AccessOptions = {
    guard: deps.guard,
    refused,
    idempotency: idempotency({
      store: idempotencyStore({ db: deps.db, table: systemIdempotencyKeys, log }),
      key: () => keyring.deriveKey('idempotency'),
      log,
    }),
  }
  const looking = async () => void (await readiness())
  const storage = createStorage(deps)
  const redeem: RedeemDeps = { ...deps, keys, nudge }
  const jobs: RunningJob[] = []
  const ends: (() => void)[] = []

  return {
    name: 'system',
    app: baseApp({ service: 'system', log })
      .use(serverRoutes({ ...deps, nudge, logSettings }, options))
      .use(maintenanceRoutes({ ...deps, nudge }, options))
      .use(channelRoutes({ ...deps, refused, nudge }, options))
      .use(inviteRoutes({ ...deps, keys, refused, nudge }, options))
      .use(auditRoutes({ ...deps, recorder }, options))
      .use(analytics.routes(options))
      .use(proofRoutes({ ...deps, recorder }, options))
      .use(backupRoutes(backing, options))
      .use(healthRoutes(readiness, options))
      .use(logRoutes({ ...logSettings, recorder }, options))
      .use(storageRoutes(storage, options))
      .use(statusRoutes({ ...deps, processes }, options)),
    port: servePort(systemPort, implementPort({ ...redeem, bus: deps.bus, log, logs, ingest, health: own }), {
      credential: deps.credential,
      log,
    }),
    readiness,
    logs,
    async start() {
      await loadKeys(deps.db, keyring)
      keyring.start()
      await chain.start()
      await analytics.start()
      await setUp(deps)
      relay.start()
      await processes.start()
      refusals.start()
      const first = [
        startJob(
          knownTime.guard({ name: 'invites', everyMs: GIVE_BACK_EVERY_MS, run: () => giveBackAbandoned(redeem) }),
          log,
        ),
        startJob(
          { name: 'overrides', everyMs: SWEEP_OVERRIDES_EVERY_MS, run: () => removeLeftOverrides({ ...deps, nudge }) },
          log,
        ),
      ]
      const making = startJob(
        {
          name: 'backups',
          everyMs: LOOK_FOR_WORK_EVERY_MS,
          run: async (stopping) => void (await makeWaiting(backing, stopping)),
        },
        log,
      )
      jobs.push(startJob(knownTime.job, log))
      ends.push(
        watchBackups(backing),
        await hearOfWork(deps, { backups: () => making.nudge(), verifications: chain.wake }),
      )
      logDropping = startJob(
        knownTime.guard({
          name: 'log retention',
          everyMs: DROP_LOGS_EVERY_MS,
          firstAfterMs: FIRST_DROP_AFTER_MS,
          run: () => dropOldLogs(deps),
        }),
        log,
      )
      ends.push(examination.count())
      jobs.push(
        ...first,
        // So that it is known since when something is as it is, though nobody has asked.
        startJob({ name: 'health', everyMs: LOOK_EVERY_MS, firstAfterMs: FIRST_LOOK_AFTER_MS, run: looking }, log),
        logDropping,
        making,
        startJob({ name: 'backup schedule', everyMs: SCHEDULE_EVERY_MS, run: () => schedule(backing) }, log),
        startJob(
          {
            name: 'storage',
            everyMs: SAMPLE_EVERY_MS,
            // Not yet: the others may be starting as well.
            firstAfterMs: FIRST_SAMPLE_AFTER_MS,
            run: () => storage.sample(),
          },
          log,
        ),
      )
      // What was there before is looked at before anybody changes anything.
      await Promise.all(first.map((job) => job.first))
    },
    drain: analytics.drain,
    async stop() {
      for (const end of ends.splice(0)) end()
      await Promise.all(jobs.splice(0).map((job) => job.stop()))
      await analytics.stop()
      await processes.stop()
      await logTeller.settled()
      await refusals.stop()
      await relay.stop({ flush: true })
      await chain.stop()
      await keyring.stop()
    },
  }
}

function createRelay({ db, bus, log, messaging }: SystemDeps, ingest: Ingest): OutboxRelay {
  const payloads = <T>(batch: { payload: unknown }[]) => batch.map((row) => row.payload as T)
  return new OutboxRelay({
    db,
    table: systemOutbox,
    log,
    // ClickHouse acknowledges before its files are on the disk.
    repeatAtStart: ['audit'],
    topics: {
      audit: (batch) => ingest({ events: payloads<AuditEvent>(batch) }),
      stream: (batch) => appendForeign({ db, bus, log }, payloads<StreamAppend>(batch)),
      channelStream: async (batch) => void (await messaging.appendEvents({ events: payloads<StreamAppend>(batch) })),
      [ANNOUNCEMENT]: () => announce({ bus, log }),
      async channelDeleted(batch) {
        for (const deleted of payloads<{ channelId: string }>(batch)) await messaging.channelDeleted(deleted)
      },
      async [ICON_WITHDRAWAL](batch) {
        for (const withdrawal of payloads<IconWithdrawal>(batch)) await withdrawIcon({ db, messaging }, withdrawal)
      },
    },
  })
}

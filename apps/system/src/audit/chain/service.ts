import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Probe } from '@conntext/http'
import { type Clock, type Logger, type RunningJob, startJob } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { LOOK_FOR_WORK_EVERY_MS } from '../../work.ts'
import { createIngest, type Ingest } from '../ingest.ts'
import { eraseDue } from './erasure.ts'
import { KeptCheckpoints } from './kept-checkpoints.ts'
import { createSigners, loadLog, type Signers } from './keys.ts'
import { lockChain, readState } from './queries.ts'
import { keepWatch, settleLeft } from './settle.ts'
import { carryOut } from './verifications.ts'

type Deps = {
  db: ServerDetails
  audit: Audit
  keyring: Keyring
  clock: Clock
  log: Logger
  /** Where checkpoints are kept by themselves. */
  checkpointDirectory?: string | undefined
  nudge(): void
}

export type AuditChain = {
  ingest: Ingest
  /** Opens the key that is in force, once for all who sign. */
  signers: Signers
  /** Once the keyring is loaded. */
  start(): Promise<void>
  probes: Probe[]
  /** There may be a verification to carry out. */
  wake(): void
  stop(): Promise<void>
}

const LOOK_AFTER_EVERY_MS = 30_000
const KEEP_CHECKPOINTS_EVERY_MS = 30_000

/** Ingest, and what has to be done again and again for the log that it writes. */
export function createAuditChain(given: Deps): AuditChain {
  const deps = { ...given, signers: createSigners(given.keyring) }
  const jobs: RunningJob[] = []
  let verifying: RunningJob | undefined
  const { checkpointDirectory: directory } = given
  const kept = directory === undefined ? undefined : new KeptCheckpoints({ ...given, directory })
  return {
    probes: kept ? [kept.probe] : [],
    ingest: createIngest(deps),
    signers: deps.signers,
    async start() {
      await deps.db.transaction(async (tx) => {
        await lockChain(tx)
        await loadLog(tx, deps.keyring)
      })
      const lookAfter = async () => {
        const { logId } = await readState(deps.db)
        await settleLeft(deps, logId)
        await keepWatch(deps)
        if ((await eraseDue(deps, logId)) > 0) deps.nudge()
      }
      const verifications = async (stopping: AbortSignal) => {
        if ((await carryOut(deps, stopping)) > 0) deps.nudge()
      }
      const everyMs = LOOK_FOR_WORK_EVERY_MS
      verifying = startJob({ name: 'audit verifications', everyMs, run: verifications }, deps.log)
      jobs.push(startJob({ name: 'audit chain', everyMs: LOOK_AFTER_EVERY_MS, run: lookAfter }, deps.log), verifying)
      if (!kept) return
      kept.start()
      const keep = { name: 'audit checkpoints', everyMs: KEEP_CHECKPOINTS_EVERY_MS, run: () => kept.keep() }
      jobs.push(startJob(keep, deps.log))
    },
    wake: () => verifying?.nudge(),
    async stop() {
      await Promise.all(jobs.splice(0).map((job) => job.stop()))
      await kept?.stop()
    },
  }
}

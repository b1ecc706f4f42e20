import { subjects } from '@conntext/contracts'
import type { AccessOptions } from '@conntext/http'
import { type RunningJob, startJob } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { Elysia } from 'elysia'
import { Bounded } from './bounded.ts'
import { createSigners } from './chain/keys.ts'
import { auditExportRoutes } from './export/routes.ts'
import type { Ingest } from './ingest.ts'
import { auditSqlRoutes } from './query/routes.ts'
import { auditRetentionRoutes } from './retention/routes.ts'
import { cutExpired } from './retention/service.ts'
import type { AnalyticsDeps } from './service.ts'
import { auditStatsRoutes } from './stats/routes.ts'
import { auditTailRoutes } from './tail/routes.ts'
import { Tails } from './tail/service.ts'

// Each may keep two threads of the engine busy.
const STATEMENTS = 4
const EXPORTS = 4
const CUT_EVERY_MS = 3_600_000

/** Counting, SQL, exports, the live tail and retention of the audit trail. */
export function createAuditAnalytics(deps: AnalyticsDeps & { keyring: Keyring }) {
  const { bus, log, keyring, nudge } = deps
  const chain = { ...deps, signers: createSigners(keyring) }
  const jobs: RunningJob[] = []
  const tails = new Tails(deps)
  const statements = new Bounded(STATEMENTS, 1)
  const exports = new Bounded(EXPORTS, 2)
  return {
    routes: (options: AccessOptions) =>
      new Elysia({ normalize: false })
        .use(auditStatsRoutes(deps, options))
        .use(auditSqlRoutes({ ...deps, running: statements }, options))
        .use(auditExportRoutes({ ...deps, running: exports }, options))
        .use(auditTailRoutes(tails, options))
        .use(auditRetentionRoutes(deps, options)),
    /** The ingest that tells whoever follows the trail once it has stored something. */
    telling:
      (ingest: Ingest): Ingest =>
      async (request) => {
        await ingest(request)
        await bus
          .publish(subjects.auditStored, '{}')
          .catch((error: unknown) => log.debug({ err: error }, 'that there are new audit events was told nobody'))
      },
    async start() {
      await tails.notices.start()
      const cut = async () => {
        if ((await cutExpired(chain)) > 0) nudge()
      }
      jobs.push(startJob({ name: 'audit retention', everyMs: CUT_EVERY_MS, run: cut }, log))
    },
    /** Whoever follows the trail comes back, to an instance that stays: until then their requests are under way. */
    drain: () => tails.endAll(),
    async stop() {
      await tails.stop()
      await Promise.all(jobs.splice(0).map((job) => job.stop()))
    },
  }
}

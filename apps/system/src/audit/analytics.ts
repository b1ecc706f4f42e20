import { subjects } from '@conntext/contracts'
import type { KnownTime } from '@conntext/database'
import type { AccessOptions } from '@conntext/http'
import { type RunningJob, startJob } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { Bounded } from './bounded.ts'
import type { Signers } from './chain/keys.ts'
import type { Ingest } from './ingest.ts'
import { cutExpired } from './retention/service.ts'
import { analyticsRoutes } from './routes.ts'
import type { AnalyticsDeps } from './service.ts'
import { Tails } from './tail/service.ts'

// Each may keep two threads of the engine busy.
const STATEMENTS = 4
const EXPORTS = 4
const CUT_EVERY_MS = 3_600_000

/** Counting, SQL, exports, the live tail and retention of the audit trail. */
export function createAuditAnalytics(
  deps: AnalyticsDeps & { keyring: Keyring; signers: Signers; knownTime: Pick<KnownTime, 'guard'> },
) {
  const { bus, log, nudge } = deps
  const jobs: RunningJob[] = []
  const tails = new Tails(deps)
  const statements = new Bounded(STATEMENTS, 1)
  const exports = new Bounded(EXPORTS, 2)
  return {
    routes: (options: AccessOptions) => analyticsRoutes(deps, { statements, exports, tails }, options),
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
        if ((await cutExpired(deps)) > 0) nudge()
      }
      jobs.push(startJob(deps.knownTime.guard({ name: 'audit retention', everyMs: CUT_EVERY_MS, run: cut }), log))
    },
    /** Whoever follows the trail comes back, to an instance that stays: until then their requests are under way. */
    drain: () => tails.endAll(),
    async stop() {
      await tails.stop()
      await Promise.all(jobs.splice(0).map((job) => job.stop()))
    },
  }
}

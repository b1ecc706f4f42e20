import { subjects } from '@conntext/contracts'
import type { AccessOptions } from '@conntext/http'
import { Elysia } from 'elysia'
import { Bounded } from './bounded.ts'
import { auditExportRoutes } from './export/routes.ts'
import type { Ingest } from './ingest.ts'
import { auditSqlRoutes } from './query/routes.ts'
import type { AnalyticsDeps } from './service.ts'
import { auditStatsRoutes } from './stats/routes.ts'
import { auditTailRoutes } from './tail/routes.ts'
import { Tails } from './tail/service.ts'

// Each may keep two threads of the engine busy.
const STATEMENTS = 4
const EXPORTS = 4

/** Counting, SQL, exports and the live tail over the audit trail. */
export function createAuditAnalytics(deps: AnalyticsDeps) {
  const { bus, log } = deps
  const tails = new Tails(deps)
  const statements = new Bounded(STATEMENTS, 1)
  const exports = new Bounded(EXPORTS, 2)
  return {
    routes: (options: AccessOptions) =>
      new Elysia({ normalize: false })
        .use(auditStatsRoutes(deps, options))
        .use(auditSqlRoutes({ ...deps, running: statements }, options))
        .use(auditExportRoutes({ ...deps, running: exports }, options))
        .use(auditTailRoutes(tails, options)),
    /** The ingest that tells whoever follows the trail once it has stored something. */
    telling:
      (ingest: Ingest): Ingest =>
      async (request) => {
        await ingest(request)
        await bus
          .publish(subjects.auditStored, '{}')
          .catch((error: unknown) => log.debug({ err: error }, 'that there are new audit events was told nobody'))
      },
    start: () => tails.notices.start(),
    stop: () => tails.stop(),
  }
}

import { AuditEvent, AuditEventPage, AuditQuery, IdParams } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Bounded } from './bounded.ts'
import { auditExportRoutes } from './export/routes.ts'
import { auditSqlRoutes } from './query/routes.ts'
import { auditRetentionRoutes } from './retention/routes.ts'
import { type AnalyticsDeps, type AuditDeps, getEvent, listEvents } from './service.ts'
import { auditStatsRoutes } from './stats/routes.ts'
import { auditTailRoutes } from './tail/routes.ts'
import type { Tails } from './tail/service.ts'

const tags = ['Audit']

export const auditRoutes = (deps: AuditDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/audit/events', ({ caller, query }) => listEvents(deps, caller, query), {
      can: 'audit.view',
      query: AuditQuery,
      response: { 200: AuditEventPage },
      detail: { operationId: 'listAuditEvents', summary: 'The audit trail, newest first', tags },
    })
    .get('/v1/audit/events/:id', ({ caller, params }) => getEvent(deps, caller, params.id), {
      can: 'audit.view',
      params: IdParams,
      response: { 200: AuditEvent },
      detail: { operationId: 'getAuditEvent', summary: 'One event of the audit trail', tags },
    })

/** Counting, SQL, exports, the live tail and retention. */
export const analyticsRoutes = (
  deps: AnalyticsDeps,
  { statements, exports, tails }: { statements: Bounded; exports: Bounded; tails: Tails },
  options: AccessOptions,
) =>
  new Elysia({ normalize: false })
    .use(auditStatsRoutes(deps, options))
    .use(auditSqlRoutes({ ...deps, running: statements }, options))
    .use(auditExportRoutes({ ...deps, running: exports }, options))
    .use(auditTailRoutes(tails, options))
    .use(auditRetentionRoutes(deps, options))

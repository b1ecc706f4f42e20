import { AuditSqlQuery, AuditSqlResult } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { querySql, type SqlDeps } from './service.ts'

export const auditSqlRoutes = (deps: SqlDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .post('/v1/audit/query', ({ caller, body, request }) => querySql(deps, caller, body, request.signal), {
      can: 'administrator',
      parse: 'json',
      body: AuditSqlQuery,
      response: { 200: AuditSqlResult },
      detail: {
        operationId: 'queryAudit',
        summary: 'Ask the audit trail in SQL, reading only',
        tags: ['Audit'],
        ...refusals({ 429: 'Enough statements are running' }),
      },
    })

import { AuditExportQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { type ExportDeps, exportTrail } from './service.ts'

const file = { schema: { type: 'string', format: 'binary' } } as const
const described = {
  description: 'The events, oldest first; `X-Expected-Rows` says how many there are to come',
  content: {
    'application/x-ndjson': file,
    'text/csv': file,
    'application/vnd.apache.parquet': file,
    'application/gzip': file,
    'application/zstd': file,
  },
}

export const auditExportRoutes = (deps: ExportDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/audit/export', ({ caller, query, request }) => exportTrail(deps, caller, query, request.signal), {
      can: 'audit.view',
      query: AuditExportQuery,
      detail: {
        operationId: 'exportAudit',
        summary: 'Take the audit trail along as a file',
        tags: ['Audit'],
        responses: { 200: described },
        ...refusals({ 404: 'There is no event with the id `afterId`', 429: 'Enough exports are running' }),
      },
    })

import { AuditTailQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Tails } from './service.ts'

const stream = {
  description: 'Server-sent events, named `audit`: the event as JSON, its id to resume behind',
  content: { 'text/event-stream': { schema: { type: 'string' } } },
} as const

export const auditTailRoutes = (tails: Tails, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get(
      '/v1/audit/tail',
      ({ caller, query, request }) => tails.follow(caller, query, request.headers.get('last-event-id'), request.signal),
      {
        can: 'audit.view',
        query: AuditTailQuery,
        detail: {
          operationId: 'followAudit',
          summary: 'Follow the audit trail live',
          description: '`Last-Event-ID` resumes where one left off. After 15 minutes at most it ends: come back.',
          tags: ['Audit'],
          responses: { 200: stream },
          ...refusals({ 429: 'Enough people follow the trail' }),
        },
      },
    )

import { AuditEvent, AuditEventPage, AuditQuery, IdParams } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { type AuditDeps, getEvent, listEvents } from './service.ts'

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

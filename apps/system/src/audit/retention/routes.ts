import { AuditRetention, AuditRetentionUpdate } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { getRetention, type RetentionDeps, setRetention } from './service.ts'

const tags = ['Audit']

export const auditRetentionRoutes = (deps: RetentionDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/audit/retention', () => getRetention(deps), {
      can: 'audit.view',
      response: { 200: AuditRetention },
      detail: { operationId: 'getAuditRetention', summary: 'For how long audit events are kept', tags },
    })
    .put('/v1/audit/retention', ({ caller, body }) => setRetention(deps, caller, body), {
      can: 'system.manage',
      parse: 'json',
      body: AuditRetentionUpdate,
      response: { 200: AuditRetention },
      detail: { operationId: 'setAuditRetention', summary: 'Say for how long audit events are kept', tags },
    })

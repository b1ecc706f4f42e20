import { AuditFacets, AuditFacetsQuery, AuditStats, AuditStatsQuery } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { AuditDeps } from '../service.ts'
import { getFacets, getStats } from './service.ts'

const tags = ['Audit']

export const auditStatsRoutes = (deps: AuditDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/audit/facets', ({ caller, query }) => getFacets(deps, caller, query), {
      can: 'audit.view',
      query: AuditFacetsQuery,
      response: { 200: AuditFacets },
      detail: { operationId: 'getAuditFacets', summary: 'How many events there are, by what they are', tags },
    })
    .get('/v1/audit/stats', ({ caller, query }) => getStats(deps, caller, query), {
      can: 'audit.view',
      query: AuditStatsQuery,
      response: { 200: AuditStats },
      detail: { operationId: 'getAuditStats', summary: 'Events over time, and the largest groups of them', tags },
    })

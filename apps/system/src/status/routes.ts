import { SystemStatus } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { allMetrics, getStatus, type StatusDeps } from './service.ts'

const tags = ['System']

export const statusRoutes = (deps: StatusDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/system/status', () => getStatus(deps), {
      can: 'system.view',
      response: { 200: SystemStatus },
      detail: { operationId: 'getSystemStatus', summary: 'Which processes run, and how much there is', tags },
    })
    .get('/v1/system/metrics', () => allMetrics(deps), {
      can: 'system.view',
      detail: {
        operationId: 'getSystemMetrics',
        summary: 'The figures of all processes, in the Prometheus text format',
        tags,
        responses: {
          200: { description: 'The figures', content: { 'text/plain': { schema: { type: 'string' as const } } } },
        },
      },
    })

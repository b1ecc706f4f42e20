import { SystemHealth } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'

export const healthRoutes = (health: () => Promise<SystemHealth>, options: AccessOptions) =>
  new Elysia({ normalize: false }).use(access(options)).get('/v1/system/health', () => health(), {
    can: 'system.view',
    response: { 200: SystemHealth },
    detail: { operationId: 'getSystemHealth', summary: 'How the services and what they need are', tags: ['System'] },
  })

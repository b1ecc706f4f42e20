import { SystemStorage } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Storage } from './service.ts'

export const storageRoutes = (storage: Storage, options: AccessOptions) =>
  new Elysia({ normalize: false }).use(access(options)).get('/v1/system/storage', () => storage.read(), {
    can: 'system.view',
    response: { 200: SystemStorage },
    detail: {
      operationId: 'getSystemStorage',
      summary: 'What takes up how much room, and how it has grown',
      tags: ['System'],
    },
  })

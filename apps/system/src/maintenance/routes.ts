import { Maintenance, MaintenanceUpdate } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { getMaintenance, type MaintenanceDeps, setMaintenance } from './service.ts'

const tags = ['System']

export const maintenanceRoutes = (deps: MaintenanceDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/system/maintenance', () => getMaintenance(deps.db), {
      can: 'system.view',
      response: { 200: Maintenance },
      detail: { operationId: 'getMaintenance', summary: 'Whether the server is under maintenance', tags },
    })
    .put('/v1/system/maintenance', ({ caller, body }) => setMaintenance(deps, caller, body), {
      can: 'system.manage',
      parse: 'json',
      body: MaintenanceUpdate,
      response: { 200: Maintenance },
      detail: {
        operationId: 'setMaintenance',
        summary: 'Begin or end maintenance: meanwhile only administrators change anything',
        tags,
      },
    })

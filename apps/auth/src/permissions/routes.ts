import { EffectivePermissions, EffectiveQuery, PermissionCatalogue } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Permissions } from './service.ts'

const tags = ['Permissions']

export const permissionRoutes = (options: AccessOptions, permissions: Permissions) =>
  new Elysia({ prefix: '/v1/permissions', normalize: false })
    .use(access(options))
    .get('', () => permissions.catalogue(), {
      can: 'member',
      response: { 200: PermissionCatalogue },
      detail: { operationId: 'listPermissions', summary: 'Every permission there is', tags },
    })
    .get('/effective', ({ caller, query }) => permissions.effective(caller, query), {
      can: 'member',
      query: EffectiveQuery,
      response: { 200: EffectivePermissions },
      detail: {
        operationId: 'getEffectivePermissions',
        summary: 'What a member may do, and what decided it',
        tags,
        ...refusals({ 404: 'There is no such member, or no such channel' }),
      },
    })

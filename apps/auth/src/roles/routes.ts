import { IdParams, NewRole, PageQuery, Role, RolePage, RolePatch } from '@conntext/contracts'
import { type AccessOptions, access, pageRequest, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Roles } from './service.ts'

const tags = ['Roles']

export const roleRoutes = (options: AccessOptions, roles: Roles) =>
  new Elysia({ prefix: '/v1/roles', normalize: false })
    .use(access(options))
    .get('', ({ query }) => roles.list(pageRequest(query)), {
      can: 'member',
      query: PageQuery,
      response: { 200: RolePage },
      detail: {
        operationId: 'listRoles',
        summary: 'The roles, in the order of their making',
        description: 'How high each stands says its `position`, which may change between two pages.',
        tags,
      },
    })
    .post('', async ({ caller, body, status }) => status(201, await roles.create(caller, body)), {
      can: 'role.manage',
      idempotent: true,
      parse: 'json',
      body: NewRole,
      response: { 201: Role },
      detail: { operationId: 'createRole', summary: 'Make a role, below all others', tags },
    })
    .get('/:id', ({ params }) => roles.get(params.id), {
      can: 'member',
      params: IdParams,
      response: { 200: Role },
      detail: { operationId: 'getRole', summary: 'A role', tags },
    })
    .patch('/:id', ({ caller, params, body }) => roles.update(caller, params.id, body), {
      can: 'role.manage',
      parse: 'json',
      params: IdParams,
      body: RolePatch,
      response: { 200: Role },
      detail: {
        operationId: 'updateRole',
        summary: 'Change or move a role',
        description:
          'Moved to a position, it takes that place; the roles between make way, so that there is never a gap.',
        tags,
      },
    })
    .delete(
      '/:id',
      async ({ caller, params, status }) => {
        await roles.remove(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'role.manage',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteRole',
          summary: 'Delete a role',
          tags,
          ...refusals({ 409: '@everyone stays' }),
        },
      },
    )

import { IdParams, OwnUser, User, UserPatch } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Users } from './service.ts'

export const userRoutes = (options: AccessOptions, users: Users) =>
  new Elysia({ prefix: '/v1/users', normalize: false })
    .use(access(options))
    .get('/@me', ({ caller }) => users.own(caller.userId), {
      can: 'member',
      response: { 200: OwnUser },
      detail: { operationId: 'getOwnUser', summary: 'Your account', tags: ['Users'] },
    })
    .patch('/@me', ({ caller, body }) => users.update(caller, body), {
      can: 'member',
      parse: 'json',
      body: UserPatch,
      response: { 200: OwnUser },
      detail: { operationId: 'updateOwnUser', summary: 'Change your account', tags: ['Users'] },
    })
    .get('/:id', ({ params }) => users.get(params.id), {
      can: 'member',
      params: IdParams,
      response: { 200: User },
      detail: { operationId: 'getUser', summary: 'A user', tags: ['Users'] },
    })

import { IdParams, Invite, InvitePage, NewInvite, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { createInvite, type InviteDeps, listInvites, revokeInvite } from './service.ts'

const tags = ['Invites']

export const inviteRoutes = (deps: InviteDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .post('/v1/invites', async ({ caller, body, status }) => status(201, await createInvite(deps, caller, body)), {
      can: 'invite.create',
      idempotent: true,
      parse: 'json',
      body: NewInvite,
      response: { 201: Invite },
      detail: { operationId: 'createInvite', summary: 'Invite people', tags },
    })
    .get('/v1/invites', ({ caller, query }) => listInvites(deps, caller, query), {
      can: 'member',
      query: PageQuery,
      response: { 200: InvitePage },
      detail: { operationId: 'listInvites', summary: "One's own invites, or all to who manages them", tags },
    })
    .delete(
      '/v1/invites/:id',
      async ({ caller, params, status }) => status(204, await revokeInvite(deps, caller, params.id)),
      {
        can: 'member',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'revokeInvite', summary: 'Revoke an invite', tags },
      },
    )

import {
  IdParams,
  Invite,
  InviteCodeParams,
  InvitePage,
  InvitePreview,
  Member,
  NewInvite,
  PageQuery,
} from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { createInvite, type InviteDeps, listInvites, previewInvite, redeemInvite, revokeInvite } from './service.ts'

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
    .get('/v1/invites/:code/preview', ({ params }) => previewInvite(deps, params.code), {
      public: true,
      params: InviteCodeParams,
      response: { 200: InvitePreview },
      detail: {
        operationId: 'previewInvite',
        summary: 'Whether an invite is good, and for which server',
        tags,
        ...refusals({ 404: 'There is no such invite', 410: 'The invite has expired, or been used up' }),
      },
    })
    .post('/v1/invites/:code/redeem', ({ caller, params }) => redeemInvite(deps, caller, params.code), {
      can: 'account',
      params: InviteCodeParams,
      response: { 200: Member },
      detail: {
        operationId: 'redeemInvite',
        summary: 'Become a member again',
        tags,
        ...refusals({
          404: 'There is no such invite',
          409: 'You are a member',
          410: 'The invite has expired, or been used up',
          429: 'Too many codes that were wrong',
        }),
      },
    })

import { ConfirmationBody, Identity, IdentityList, IdParams, OidcExchange } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Identities } from './identities.ts'

const tags = ['Authentication']

export const identityRoutes = (options: AccessOptions, identities: Identities) =>
  new Elysia({ prefix: '/v1/auth/identities', normalize: false })
    .use(access(options))
    .get('', ({ caller }) => identities.list(caller), {
      can: 'account',
      response: { 200: IdentityList },
      detail: { operationId: 'listIdentities', summary: 'Who you are at OpenID Connect providers', tags },
    })
    .post('', async ({ caller, body, status }) => status(201, await identities.link(caller, body)), {
      can: 'account',
      parse: 'json',
      body: OidcExchange,
      response: { 201: Identity },
      detail: {
        operationId: 'linkIdentity',
        summary: 'Complete a link, with the code that the browser came back with',
        tags,
        ...refusals({
          404: 'There is no such provider any more',
          409: 'Another account is linked to whom you are there, or yours to somebody else',
        }),
      },
    })
    .delete(
      '/:id',
      async ({ caller, params, body, status }) => {
        await identities.unlink(caller, params.id, body)
        return status(204, undefined)
      },
      {
        can: 'account',
        parse: 'json',
        params: IdParams,
        body: ConfirmationBody,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'unlinkIdentity',
          summary: 'Link your account to a provider no more',
          tags,
          ...refusals({ 409: 'It is the only way into the account' }),
        },
      },
    )

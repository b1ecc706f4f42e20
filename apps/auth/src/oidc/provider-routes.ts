import { OidcProvider, OidcProviderList, OidcProviderParams, OidcProviderSettings } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Providers } from './providers.ts'

const tags = ['Authentication']

export const oidcProviderRoutes = (options: AccessOptions, providers: Providers) =>
  new Elysia({ prefix: '/v1/auth/oidc/providers', normalize: false })
    .use(access(options))
    .get('', () => providers.list(), {
      can: 'server.manage',
      response: { 200: OidcProviderList },
      detail: { operationId: 'listOidcProviders', summary: 'The OpenID Connect providers, as they are set up', tags },
    })
    .put('/:provider', ({ caller, params, body }) => providers.set(caller, params.provider, body), {
      can: 'server.manage',
      parse: 'json',
      params: OidcProviderParams,
      body: OidcProviderSettings,
      response: { 200: OidcProvider },
      detail: {
        operationId: 'setOidcProvider',
        summary: 'Set up an OpenID Connect provider, or change it',
        tags,
        ...refusals({ 409: 'Accounts are linked to the present issuer, or there are too many providers' }),
      },
    })
    .delete(
      '/:provider',
      async ({ caller, params, status }) => {
        await providers.remove(caller, params.provider)
        return status(204, undefined)
      },
      {
        can: 'server.manage',
        params: OidcProviderParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'removeOidcProvider',
          summary: "Remove an OpenID Connect provider, with everybody's identities there",
          tags,
        },
      },
    )

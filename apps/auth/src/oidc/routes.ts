import {
  ConfirmationBody,
  Identity,
  IdentityList,
  IdParams,
  LoginAnswer,
  OidcCallbackQuery,
  OidcCode,
  OidcExchange,
  OidcLink,
  OidcLinkStart,
  OidcLoginOptions,
  OidcProvider,
  OidcProviderList,
  OidcProviderParams,
  OidcProviderSettings,
  OidcStartQuery,
} from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { BrowserBinding } from './browser.ts'
import type { Identities } from './identities.ts'
import type { OidcLogin } from './login.ts'
import type { Providers } from './providers.ts'

const tags = ['Authentication']

// What is on the way may be the way in: nobody keeps it, and no other site learns of it.
const PRIVATE = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }

type Parts = { login: OidcLogin; providers: Providers; binding: BrowserBinding }

export const oidcRoutes = (options: AccessOptions, { login, providers, binding }: Parts) =>
  new Elysia({ prefix: '/v1/auth/oidc', normalize: false })
    .use(access(options))
    .onTransform(({ set }) => {
      Object.assign(set.headers, PRIVATE)
    })
    .get('', () => providers.options(), {
      public: true,
      response: { 200: OidcLoginOptions },
      detail: { operationId: 'listOidcOptions', summary: 'The OpenID Connect providers to log in with', tags },
    })
    .get(
      '/:provider/start',
      async ({ params, query, request, set }) => {
        const { browser, cookie } = binding.bind(request.headers)
        const location = await login.start(params.provider, query, browser)
        Object.assign(set.headers, { location, 'set-cookie': cookie })
        set.status = 302
      },
      {
        public: true,
        params: OidcProviderParams,
        query: OidcStartQuery,
        response: { 302: Type.Void() },
        detail: {
          operationId: 'startOidcLogin',
          summary: 'Send the browser to a provider, to log in there',
          description:
            'For a browser to be taken to, not to be fetched: it gets a cookie that it has to come back with.',
          tags,
          ...refusals({ 404: 'There is no such provider', 503: 'The provider is away' }),
        },
      },
    )
    .get(
      '/:provider/callback',
      async ({ params, query, request, visitor, set }) => {
        const outcome = await login.callback(params.provider, query, { headers: request.headers, visitor })
        if ('answer' in outcome) return outcome.answer
        set.headers.location = outcome.location
        set.status = 302
        return undefined
      },
      {
        public: true,
        params: OidcProviderParams,
        query: OidcCallbackQuery,
        response: { 200: Type.Union([...LoginAnswer.anyOf, OidcCode]), 302: Type.Void() },
        detail: {
          operationId: 'completeOidcLogin',
          summary: 'Where a provider sends the browser back to',
          description:
            'Without a returnTo at the start it answers what a login answers, or the code that completes a link. With ' +
            'one it sends the browser there, with `#code=…` or `#error=…`.',
          tags,
          ...refusals({
            400: 'It was not begun in this browser, or is over',
            401: 'The provider did not prove who this is',
            403: 'The provider said no, the account cannot be used, or the server takes no new members',
            404: 'There is no such provider any more, or no such invite',
            409: 'There is an account with this address, which takes a login to be linked',
            410: 'The invite has expired, or has been used as often as it may be',
            503: 'The provider is away',
          }),
        },
      },
    )
    .post('/exchange', ({ body, visitor }) => login.exchange(body, visitor), {
      public: true,
      parse: 'json',
      body: OidcExchange,
      response: { 200: LoginAnswer },
      detail: {
        operationId: 'exchangeOidcCode',
        summary: 'Log in with the code that a browser came back from a provider with',
        description: 'The code works once, within a minute.',
        tags,
        ...refusals({ 401: 'The code is wrong or over', 403: 'The account cannot be used' }),
      },
    })
    .post('/:provider/link', ({ caller, params, body }) => login.beginLink(caller, params.provider, body), {
      can: 'account',
      parse: 'json',
      params: OidcProviderParams,
      body: OidcLink,
      response: { 200: OidcLinkStart },
      detail: {
        operationId: 'startOidcLink',
        summary: 'Link your account to who you are at a provider',
        description: 'The code that the browser comes back with is for `POST /v1/auth/identities`.',
        tags,
        ...refusals({
          404: 'There is no such provider',
          409: 'The account is linked to this provider already',
          503: 'The provider is away',
        }),
      },
    })

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

import { ApiTokenPage, CreatedApiToken, IdParams, NewApiToken, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, pageRequest, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { ApiTokens } from './service.ts'

const tags = ['API tokens']

export const tokenRoutes = (options: AccessOptions, tokens: ApiTokens) =>
  new Elysia({ prefix: '/v1/auth/tokens', normalize: false })
    .use(access(options))
    .get('', ({ caller, query }) => tokens.list(caller, pageRequest(query)), {
      can: 'account',
      query: PageQuery,
      response: { 200: ApiTokenPage },
      detail: {
        operationId: 'listApiTokens',
        summary: "Your API tokens and your bots', newest first",
        description: 'Whoever has the permission bot.manage sees those of all bots.',
        tags,
      },
    })
    .post('', async ({ caller, body, status }) => status(201, await tokens.create(caller, body)), {
      can: 'account',
      parse: 'json',
      body: NewApiToken,
      response: { 201: CreatedApiToken },
      detail: {
        operationId: 'createApiToken',
        summary: 'Make an API token, for yourself or for a bot; it is shown this once',
        description:
          'It is for its scopes alone, which are permissions that you have, and never for more than its bearer may do.',
        tags,
        ...refusals({
          403: 'A scope is not yours, the bot is not yours to manage, or the password or the code is missing or wrong',
          404: 'There is no such bot',
          409: 'The account has as many API tokens as it can',
          429: 'Too many wrong passwords or codes',
        }),
      },
    })
    .delete(
      '/:id',
      async ({ caller, params, status }) => {
        await tokens.remove(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'account',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'revokeApiToken',
          summary: 'End an API token of yours or of a bot that you manage, at once',
          tags,
          ...refusals({ 403: 'The bot stands as high as you, or higher' }),
        },
      },
    )

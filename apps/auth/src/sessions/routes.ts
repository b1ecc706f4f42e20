import { Authenticated, IdParams, PageQuery, RefreshRequest, SessionPage } from '@conntext/contracts'
import { type AccessOptions, access, pageRequest, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Sessions } from './service.ts'

const tags = ['Authentication']

export const sessionRoutes = (options: AccessOptions, sessions: Sessions) =>
  new Elysia({ prefix: '/v1/auth', normalize: false })
    .use(access(options))
    .post('/refresh', ({ body, visitor }) => sessions.refresh(body.refreshToken, visitor), {
      public: true,
      parse: 'json',
      body: RefreshRequest,
      response: { 200: Authenticated },
      detail: {
        operationId: 'refresh',
        summary: 'Exchange a refresh token, which works once, for new tokens',
        tags,
        ...refusals({ 401: 'The refresh token is not valid; log in again' }),
      },
    })
    .post(
      '/logout',
      async ({ caller, status }) => {
        await sessions.logout(caller)
        return status(204, undefined)
      },
      {
        can: 'member',
        response: { 204: Type.Void() },
        detail: { operationId: 'logout', summary: 'End the session that this request was made with', tags },
      },
    )
    .get('/sessions', ({ caller, query }) => sessions.list(caller, pageRequest(query)), {
      can: 'member',
      query: PageQuery,
      response: { 200: SessionPage },
      detail: { operationId: 'listSessions', summary: 'Your sessions, newest first', tags },
    })
    .delete(
      '/sessions/:id',
      async ({ caller, params, status }) => {
        await sessions.end(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'member',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'endSession', summary: 'End one of your sessions', tags },
      },
    )

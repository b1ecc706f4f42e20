import { Authenticated, IdParams, PageQuery, RefreshRequest, Session, SessionPage } from '@conntext/contracts'
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
        description:
          'Within ten seconds of its use a token brings the same new one again, for tabs that ask at once and for ' +
          'answers that were lost. Any other repeat is taken for a theft and ends the session.',
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
        can: 'account',
        response: { 204: Type.Void() },
        detail: { operationId: 'logout', summary: 'End the session that this request was made with', tags },
      },
    )
    .get('/sessions', ({ caller, query }) => sessions.list(caller, pageRequest(query)), {
      can: 'account',
      query: PageQuery,
      response: { 200: SessionPage },
      detail: { operationId: 'listSessions', summary: 'Your sessions, newest first', tags },
    })
    .delete(
      '/sessions',
      async ({ caller, status }) => {
        await sessions.endOthers(caller)
        return status(204, undefined)
      },
      {
        can: 'account',
        response: { 204: Type.Void() },
        detail: {
          operationId: 'endOtherSessions',
          summary: 'End all your sessions but this one',
          description: 'To end this one as well, log out. API tokens stay.',
          tags,
        },
      },
    )
    .get('/sessions/:id', ({ caller, params }) => sessions.find(caller, params.id), {
      can: 'account',
      params: IdParams,
      response: { 200: Session },
      detail: { operationId: 'getSession', summary: 'One of your sessions', tags },
    })
    .delete(
      '/sessions/:id',
      async ({ caller, params, status }) => {
        await sessions.end(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'account',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'endSession', summary: 'End one of your sessions', tags },
      },
    )

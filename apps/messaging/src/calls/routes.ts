import { CallPage, CallParams, CallParticipationPage, CallRecord, CallsQuery, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { type CallDeps, getCall, pageCalls, pageParticipations } from './service.ts'

const tags = ['Calls']

export const callRoutes = (deps: CallDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .get('/v1/calls', ({ caller, query }) => pageCalls(deps, caller, query), {
      can: 'member',
      query: CallsQuery,
      response: { 200: CallPage },
      detail: {
        operationId: 'listCalls',
        summary: 'List the calls of channels that one sees and conversations that one takes part in, newest first',
        tags,
        ...refusals({ 404: 'There is no such channel' }),
      },
    })
    .get('/v1/calls/:callId', ({ caller, params }) => getCall(deps, caller, params.callId), {
      can: 'member',
      params: CallParams,
      response: { 200: CallRecord },
      detail: { operationId: 'getPastCall', summary: 'Read when a call was, and who was in it', tags },
    })
    .get(
      '/v1/calls/:callId/participations',
      ({ caller, params, query }) => pageParticipations(deps, caller, params.callId, query),
      {
        can: 'member',
        params: CallParams,
        query: PageQuery,
        response: { 200: CallParticipationPage },
        detail: {
          operationId: 'listCallParticipations',
          summary: 'List who was in a call, and for how long',
          tags,
        },
      },
    )

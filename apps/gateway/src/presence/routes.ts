import { PresencePage, PresencesQuery } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Presences } from './presences.ts'

export const presenceRoutes = (options: AccessOptions, presences: Pick<Presences, 'list'>) =>
  new Elysia({ prefix: '/v1/presences', normalize: false })
    .use(access(options))
    .get('', ({ query }) => presences.list(query), {
      can: 'member',
      query: PresencesQuery,
      response: { 200: PresencePage },
      detail: {
        operationId: 'listPresences',
        summary: 'Who is there, by id',
        description: 'As everybody sees everybody: who is invisible is offline. Changes come over the WebSocket.',
        tags: ['Gateway'],
      },
    })

import { SearchPage, SearchQuery } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { type SearchDeps, search } from './search.ts'

export const searchRoutes = (deps: SearchDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .get('/v1/search', ({ caller, query }) => search(deps, caller, query), {
      can: 'member',
      query: SearchQuery,
      response: { 200: SearchPage },
      detail: { operationId: 'searchMessages', summary: 'Search the messages that one may read', tags: ['Search'] },
    })

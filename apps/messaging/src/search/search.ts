import type { AuthPort, SearchHit, SearchPage, SearchQuery, SearchSort } from '@conntext/contracts'
import { pageLimit } from '@conntext/contracts'
import type { Communications, CommunicationsExecutor } from '@conntext/db-communications'
import { accessErrors, type Caller, inScope, type Refused } from '@conntext/http'
import { highlights, parseQuery, type Query, QueryFault } from '@conntext/search-text'
import { present } from '../messages/present.ts'
import { inSnapshot } from '../snapshot.ts'
import { type ChannelDeps, searchableChannels } from './channels.ts'
import { type Cursor, readCursor, writeCursor } from './cursor.ts'
import { searchErrors } from './errors.ts'
import type { Lanes } from './lanes.ts'
import { findMessages } from './queries.ts'
import { findByRelevance, findByTime, type Hit } from './ranking.ts'
import { resolveTerms, type Terms } from './terms.ts'

export type SearchDeps = ChannelDeps & {
  db: Communications
  auth: Pick<AuthPort, 'findUsers'>
  refused: Refused
  lanes: Lanes
}

/**
 * A page of the messages that fit a query, of those that the caller may read now, with all that was acknowledged before.
 * By time it is exact. By relevance the newest thousand that fit are ranked, and of equal ones the newest comes first;
 * the later pages rank the same ones, so that what is sent meanwhile moves nothing.
 * @throws search.invalidQuery, search.empty (422), search.tooSlow, search.overloaded (503)
 */
export async function search(deps: SearchDeps, caller: Caller, request: SearchQuery): Promise<SearchPage> {
  if (!inScope(caller, 'message.history')) {
    deps.refused(caller, 'message.history', 'GET /v1/search')
    throw accessErrors.forbidden('This needs the permission message.history.')
  }
  const query = read(request.q)
  const { sort = 'relevance', cursor, limit } = request
  const isRanked = sort === 'relevance' && query.phrases.some((phrase) => !phrase.negated)
  const page = {
    caller,
    order: isRanked ? ('relevance' as const) : sort === 'oldest' ? sort : ('newest' as const),
    cursor: cursor === undefined ? undefined : readCursor(cursor, isRanked),
    limit: pageLimit(limit),
  }
  const channels = await searchableChannels(deps, caller)
  const terms = await resolveTerms(query, { caller, channels, auth: deps.auth })
  if (!terms) return { items: [], nextCursor: null, isComplete: true }
  // In one snapshot, so that what is being indexed is found once, and its words are those that fitted.
  return deps.lanes.run(() => inSnapshot(deps.db, tooSlow, (tx) => readPage(tx, terms, page)))
}

const tooSlow = (cause: unknown) => searchErrors.tooSlow({ retryAfter: 10, cause })

function read(text: string): Query {
  try {
    const query = parseQuery(text)
    if (query.phrases.length === 0 && query.filters.length === 0) throw searchErrors.empty()
    return query
  } catch (error) {
    if (!(error instanceof QueryFault)) throw error
    const message = `at character ${error.position}: ${error.message}`
    throw searchErrors.invalidQuery({
      detail: `The query is wrong ${message}.`,
      errors: [{ path: '/query/q', message }],
    })
  }
}

type Page = { caller: Caller; order: SearchSort; cursor: Cursor | undefined; limit: number }

async function readPage(
  tx: CommunicationsExecutor,
  terms: Terms,
  { caller, order, cursor, limit }: Page,
): Promise<SearchPage> {
  // One more than is shown tells whether there are more.
  const wanted = { terms, cursor, limit: limit + 1 }
  const found = order === 'relevance' ? await findByRelevance(tx, wanted) : await findByTime(tx, { ...wanted, order })
  const shown = found.hits.slice(0, limit)
  const last = found.hits.length > limit ? shown.at(-1) : undefined
  return {
    items: await presentHits(tx, shown, terms, caller),
    nextCursor: last ? writeCursor({ after: last, newest: found.newest }) : null,
    isComplete: found.isComplete,
  }
}

async function presentHits(
  tx: CommunicationsExecutor,
  hits: Hit[],
  terms: Terms,
  caller: Caller,
): Promise<SearchHit[]> {
  const rows = await findMessages(
    tx,
    hits.map((hit) => hit.id),
  )
  const byId = new Map((await present(tx, rows, caller.userId)).map((message) => [message.id, message]))
  return hits.map(({ id, score }) => {
    const message = byId.get(id)!
    return { message, score, highlights: highlights(message.content, terms.conditions) }
  })
}

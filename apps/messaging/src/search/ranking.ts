import type { CommunicationsExecutor } from '@conntext/db-communications'
import { matches, toRankQuery, toVector } from '@conntext/search-text'
import type { Cursor } from './cursor.ts'
import { documentsOf } from './documents.ts'
import { searchErrors } from './errors.ts'
import {
  type Found,
  findDocuments,
  findMessages,
  type Place,
  type Reach,
  rankDocuments,
  rankVectors,
} from './queries.ts'
import { searchTail, type TailHit } from './tail.ts'
import type { Terms } from './terms.ts'

export type Hit = Place & { score: number | null }
/** `newest`: of those that were ranked. `isComplete`: whether all was looked at. */
export type Hits = { hits: Hit[]; newest: Place | null; isComplete: boolean }

type Wanted = { terms: Terms; cursor: Cursor | undefined; limit: number }

// Of more the order by relevance would take too long, and nobody reads them.
const MOST_RANKED = 1_000
const LONGEST_MS = 5_000

/** What fits, by time: exact, and stable whatever comes meanwhile. */
export async function findByTime(
  tx: CommunicationsExecutor,
  { terms, cursor, limit, order }: Wanted & Pick<Reach, 'order'>,
): Promise<Hits> {
  const reach = { order, after: cursor?.after }
  const [tail, found] = await Promise.all([searchTail(tx, terms, reach), findFitting(tx, terms, reach, limit)])
  const hits = [...tail.hits.map(placeOf), ...found].sort(order === 'newest' ? newestFirst : oldestFirst)
  return {
    hits: hits.slice(0, limit).map(({ id, createdAt }) => ({ id, createdAt, score: null })),
    newest: null,
    isComplete: tail.isComplete,
  }
}

/** Of what fits the newest thousand, the best first, of equal ones the newest. */
export async function findByRelevance(tx: CommunicationsExecutor, { terms, cursor, limit }: Wanted): Promise<Hits> {
  const reach: Reach = { order: 'newest', from: cursor?.newest ?? undefined }
  const [tail, found] = await Promise.all([searchTail(tx, terms, reach), findFitting(tx, terms, reach, MOST_RANKED)])
  const candidates = [...tail.hits.map(placeOf), ...found].sort(newestFirst).slice(0, MOST_RANKED)
  const scores = await rank(tx, found, tail.hits, toRankQuery(terms.conditions) ?? '')
  const ranked = candidates.map(({ id, createdAt }) => ({ id, createdAt, score: scores.get(id) ?? 0 })).sort(bestFirst)
  const { after } = cursor ?? {}
  const hits = after ? ranked.filter((hit) => bestFirst(after, hit) < 0) : ranked
  return {
    hits: hits.slice(0, limit),
    newest: cursor?.newest ?? candidates[0] ?? null,
    isComplete: tail.isComplete,
  }
}

async function rank(
  tx: CommunicationsExecutor,
  found: Found[],
  tail: TailHit[],
  rankQuery: string,
): Promise<Map<string, number>> {
  const scores = await rankDocuments(
    tx,
    found.map((one) => one.id),
    rankQuery,
  )
  const vectors = tail.map(({ document }) => toVector(document))
  const tailScores = await rankVectors(tx, vectors, rankQuery)
  tail.forEach(({ row }, i) => {
    scores.set(row.id, tailScores[i]!)
  })
  return scores
}

/** What fits of the index. Where the index can't tell for sure, the messages themselves are looked at. */
async function findFitting(tx: CommunicationsExecutor, terms: Terms, reach: Reach, limit: number): Promise<Found[]> {
  const fitting: Found[] = []
  const began = performance.now()
  for (let rest = reach; ; ) {
    const found = await findDocuments(tx, terms, rest, limit)
    fitting.push(...(await withoutMisfits(tx, terms, found)))
    const last = found.at(-1)
    if (!last || found.length < limit || fitting.length >= limit) return fitting.slice(0, limit)
    if (performance.now() - began > LONGEST_MS) throw searchErrors.tooSlow({ retryAfter: 10 })
    rest = { order: reach.order, after: last }
  }
}

async function withoutMisfits(tx: CommunicationsExecutor, terms: Terms, found: Found[]): Promise<Found[]> {
  const unsure = found.filter((one) => one.overlong).map((one) => one.id)
  if (unsure.length === 0) return found
  const rows = await findMessages(tx, unsure)
  const documents = await documentsOf(tx, rows)
  const misfits = new Set(rows.filter((_, i) => !matches(documents[i]!, terms.conditions)).map((row) => row.id))
  return found.filter((one) => !misfits.has(one.id))
}

const placeOf = ({ row: { id, createdAt } }: TailHit): Place => ({ id, createdAt })

// As Postgres compares a time and an id.
const oldestFirst = (a: Place, b: Place): number =>
  a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
const newestFirst = (a: Place, b: Place): number => oldestFirst(b, a)
const bestFirst = (a: Hit, b: Hit): number => (b.score ?? 0) - (a.score ?? 0) || newestFirst(a, b)

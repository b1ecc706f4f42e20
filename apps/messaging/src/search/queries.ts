import { channelStream } from '@conntext/contracts'
import {
  type CommunicationsExecutor,
  messages,
  searchDocuments,
  searchProgress,
  streams,
} from '@conntext/db-communications'
import { OVERLONG, quoteLexeme, toTsquery } from '@conntext/search-text'
import { and, desc, eq, exists, gt, inArray, isNotNull, isNull, lt, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { type MessageRow, SAID } from '../messages/shape.ts'
import type { Terms } from './terms.ts'

/** A message's place in time. Ids tell those of one moment apart, in the order in which they were made. */
export type Place = { createdAt: Date; id: string }
/** An order, and the places in it after one, or at one and after it. */
export type Reach = { order: 'newest' | 'oldest'; after?: Place | undefined; from?: Place | undefined }

/** `overlong`: the index doesn't know all of it, so that its text must be looked at. */
export type Found = Place & { overlong: boolean }

/** What is in the index and fits, in the order of time. */
export async function findDocuments(
  tx: CommunicationsExecutor,
  terms: Terms,
  reach: Reach,
  limit: number,
): Promise<Found[]> {
  const { messageId: id, createdAt, words } = searchDocuments
  const direction = sql.raw(reach.order === 'newest' ? 'desc' : 'asc')
  const tsquery = toTsquery(terms.conditions)
  const pinned = exists(
    tx
      .select({ one: sql`1` })
      .from(messages)
      .where(and(eq(messages.id, id), isNotNull(messages.pinnedAt))),
  )
  return tx
    .select({ id, createdAt, overlong: sql<boolean>`${words} @@ ${quoteLexeme(OVERLONG)}::tsquery` })
    .from(searchDocuments)
    .where(
      and(
        sql`${searchDocuments.channelId} = any(${sql.param(terms.channelIds)}::uuid[])`,
        tsquery === undefined ? undefined : sql`${words} @@ ${tsquery}::tsquery`,
        ...terms.pinned.map((wanted) => (wanted ? pinned : sql`not ${pinned}`)),
        ...periods(terms, createdAt),
        reaches(reach, createdAt, id),
      ),
    )
    .orderBy(sql`${createdAt} ${direction}, ${id} ${direction}`)
    .limit(limit)
}

/** How well documents of the index fit what is ranked by. */
export async function rankDocuments(
  tx: CommunicationsExecutor,
  ids: string[],
  rankQuery: string,
): Promise<Map<string, number>> {
  if (ids.length === 0) return new Map()
  const { messageId: id, words } = searchDocuments
  const rows = await tx
    .select({ id, score: rank(words, rankQuery) })
    .from(searchDocuments)
    .where(sql`${id} = any(${sql.param(ids)}::uuid[])`)
  return new Map(rows.map((row) => [row.id, row.score]))
}

/** The same for what is not in the index yet, in its order. */
export async function rankVectors(tx: CommunicationsExecutor, vectors: string[], rankQuery: string): Promise<number[]> {
  if (vectors.length === 0) return []
  const rows = await tx.execute<{ score: number }>(
    sql`select ${rank(sql`vector::tsvector`, rankQuery)} as score
      from unnest(${sql.param(vectors)}::text[]) with ordinality as given (vector, place) order by place`,
  )
  return rows.map((row) => row.score)
}

// Cover density, so that words near each other count for more; in a long text for less.
const rank = (words: SQL | PgColumn, rankQuery: string) =>
  sql<number>`ts_rank_cd(${words}, ${rankQuery}::tsquery, 1)::float8`

/** Channels in which something is not in the index yet, and up to where it is. */
export type Backlog = { channelId: string; indexedSeq: number }

export async function listBacklog(tx: CommunicationsExecutor, channelIds: string[]): Promise<Backlog[]> {
  const given = sql`unnest(${sql.param(channelIds)}::uuid[], ${sql.param(channelIds.map(channelStream))}::text[])`
  const rows = await tx.execute<{ channelId: string; indexedSeq: string }>(
    sql`select given.id as "channelId", coalesce(${searchProgress.indexedSeq}, 0) as "indexedSeq"
      from ${given} as given (id, stream)
      join ${streams} on ${streams.name} = given.stream
      left join ${searchProgress} on ${searchProgress.channelId} = given.id
      where ${streams.lastSeq} > coalesce(${searchProgress.indexedSeq}, 0)`,
  )
  return rows.map((row) => ({ channelId: row.channelId, indexedSeq: Number(row.indexedSeq) }))
}

/** Messages of a channel that are not in the index yet, newest first: what fits but for its words. */
export async function listUnindexed(
  tx: CommunicationsExecutor,
  { channelId, indexedSeq }: Backlog,
  query: { terms: Terms; reach: Reach; beforeSeq: number; limit: number },
): Promise<MessageRow[]> {
  const { terms, reach, beforeSeq, limit } = query
  const { createdAt, id, seq, pinnedAt } = messages
  return tx
    .select()
    .from(messages)
    .where(
      and(
        eq(messages.channelId, channelId),
        gt(seq, indexedSeq),
        lt(seq, beforeSeq),
        isSearched,
        ...terms.pinned.map((wanted) => (wanted ? isNotNull(pinnedAt) : isNull(pinnedAt))),
        ...periods(terms, createdAt),
        reaches(reach, createdAt, id),
      ),
    )
    .orderBy(desc(seq))
    .limit(limit)
}

/** What the server says of what people do is not searched. */
export const isSearched = and(isNull(messages.deletedAt), inArray(messages.type, SAID))

export const findMessages = (tx: CommunicationsExecutor, ids: string[]): Promise<MessageRow[]> =>
  ids.length === 0 ? Promise.resolve([]) : tx.select().from(messages).where(inArray(messages.id, ids))

function periods(terms: Terms, createdAt: PgColumn): SQL[] {
  return terms.periods.map(({ period: { from, until }, negated }) => {
    const start = from ? sql`${createdAt} >= ${moment(from)}` : sql`true`
    const end = until ? sql`${createdAt} < ${moment(until)}` : sql`true`
    return negated ? sql`not (${start} and ${end})` : sql`(${start} and ${end})`
  })
}

function reaches({ order, after, from }: Reach, createdAt: PgColumn, id: PgColumn): SQL | undefined {
  const compare = (operator: string, place: Place) =>
    sql`(${createdAt}, ${id}) ${sql.raw(operator)} (${moment(place.createdAt)}, ${place.id}::uuid)`
  const beyond = order === 'newest' ? '<' : '>'
  return and(after && compare(beyond, after), from && compare(`${beyond}=`, from))
}

const moment = (date: Date): SQL => sql`${date.toISOString()}::timestamptz`

import { channelStream, streamChannel } from '@conntext/contracts'
import { isDatabaseAway } from '@conntext/database'
import { type Communications, messages, searchDocuments, searchProgress, streams } from '@conntext/db-communications'
import type { Logger } from '@conntext/kernel'
import { toVector } from '@conntext/search-text'
import { and, asc, eq, gt, lte, sql } from 'drizzle-orm'
import { isOfServer, type MessageRow } from '../messages/shape.ts'
import type { Transaction } from '../streams/writer.ts'
import { documentsOf, type Indexable, takeIndex } from './documents.ts'

// Longer each time that nothing was found: whoever searches meanwhile looks through what is new themselves.
const PAUSE_MS = { shortest: 1_000, longest: 5_000 }
const AT_ONCE = 500

export type IndexerDeps = { db: Communications; log: Logger }

/**
 * Brings messages into the search index behind their commit, so that sending costs nothing more. How far it has got
 * stands with the documents, in the same transaction: whoever searches looks through the rest themselves, and what is
 * interrupted goes on where it was. Messages from before there was an index are nothing else. Of several instances one
 * at a time works on a channel.
 */
export class SearchIndexer {
  #timer: Timer | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = true
  #pauseMs = PAUSE_MS.shortest

  constructor(private readonly deps: IndexerDeps) {}

  start(): void {
    this.#stopped = false
    this.#schedule(0)
  }

  /** Resolves when what is under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#pass()
        .catch((error: unknown) => this.deps.log.warn({ err: error }, 'messages could not be indexed; it goes on soon'))
        .finally(() => {
          if (!this.#stopped) this.#schedule(this.#pauseMs)
        })
    }, afterMs)
  }

  /** Until nothing is left, a batch of each channel in turn: none waits for a large one. */
  async #pass(): Promise<void> {
    this.#pauseMs = Math.min(PAUSE_MS.longest, this.#pauseMs * 1.5)
    for (let more = true; more; ) {
      more = false
      for (const channelId of await listLagging(this.deps.db)) {
        if (this.#stopped) return
        this.#pauseMs = PAUSE_MS.shortest
        if (await indexSome(this.deps, channelId)) more = true
      }
    }
  }
}

/** The channels in which something is not in the index yet. */
async function listLagging(db: Communications): Promise<string[]> {
  const rows = await db
    .select({ name: streams.name })
    .from(streams)
    .leftJoin(searchProgress, sql`${streams.name} = 'channel:' || ${searchProgress.channelId}`)
    .where(sql`${streams.name} like 'channel:%' and ${streams.lastSeq} > coalesce(${searchProgress.indexedSeq}, 0)`)
  return rows.flatMap((row) => streamChannel(row.name) ?? [])
}

/**
 * Indexes the next messages of a channel; answers whether there are more. Where one of them can't be indexed, all others
 * are nevertheless.
 */
async function indexSome(deps: IndexerDeps, channelId: string): Promise<boolean> {
  try {
    return await indexBatch(deps.db, channelId, { limit: AT_ONCE, isWordless: false })
  } catch (error) {
    if (isDatabaseAway(error)) throw error
    deps.log.warn({ err: error, channelId }, 'a batch of messages could not be indexed; indexing them singly')
  }
  for (let i = 0; i < AT_ONCE; i += 1) if (!(await indexOne(deps, channelId))) return false
  return true
}

async function indexOne({ db, log }: IndexerDeps, channelId: string): Promise<boolean> {
  try {
    return await indexBatch(db, channelId, { limit: 1, isWordless: false })
  } catch (error) {
    if (isDatabaseAway(error)) throw error
    log.error({ err: error, channelId }, 'a message could not be indexed: it will not be found by its words')
    return indexBatch(db, channelId, { limit: 1, isWordless: true })
  }
}

type Batch = { limit: number; isWordless: boolean }

function indexBatch(db: Communications, channelId: string, { limit, isWordless }: Batch): Promise<boolean> {
  return db.transaction(async (tx) => {
    // Another instance is at it, or somebody edits: it is found to be lagging again.
    if (!(await takeIndex(tx, channelId))) return false
    // A crash loses documents and progress together.
    await tx.execute(sql`set local synchronous_commit = off`)
    const [head] = await tx
      .select()
      .from(streams)
      .where(eq(streams.name, channelStream(channelId)))
    if (!head) return false
    const rows = await listNext(tx, channelId, head.lastSeq, limit)
    const isLast = rows.length < limit
    await insertDocuments(tx, rows.filter(isIndexed), isWordless)
    const indexedSeq = isLast ? head.lastSeq : rows.at(-1)!.seq
    await tx
      .insert(searchProgress)
      .values({ channelId, indexedSeq })
      .onConflictDoUpdate({ target: searchProgress.channelId, set: { indexedSeq } })
    return !isLast
  })
}

// The row of one that was deleted stays, without its words.
const isIndexed = (row: Next): boolean => row.isThere && !isOfServer(row)

type Next = Indexable & Pick<MessageRow, 'seq' | 'type' | 'createdAt'> & { isThere: boolean }

async function listNext(tx: Transaction, channelId: string, head: number, limit: number): Promise<Next[]> {
  const [progress] = await tx.select().from(searchProgress).where(eq(searchProgress.channelId, channelId))
  const { id, authorId, content, mentions, webhook, seq, type, createdAt, deletedAt } = messages
  const isThere = sql<boolean>`${deletedAt} is null`
  return tx
    .select({ id, channelId: messages.channelId, authorId, content, mentions, webhook, seq, type, createdAt, isThere })
    .from(messages)
    .where(
      and(
        eq(messages.channelId, channelId),
        gt(messages.seq, progress?.indexedSeq ?? 0),
        // What commits after the head was read waits for the next batch.
        lte(messages.seq, head),
      ),
    )
    .orderBy(asc(messages.seq))
    .limit(limit)
}

async function insertDocuments(tx: Transaction, rows: Next[], isWordless: boolean): Promise<void> {
  if (rows.length === 0) return
  const documents = isWordless ? [] : await documentsOf(tx, rows)
  const given = rows.map(({ id, channelId, createdAt }, i) => {
    const words = documents[i] ? toVector(documents[i]) : ''
    return { id, channelId, createdAt, words }
  })
  await tx.execute(sql`insert into ${searchDocuments} (message_id, channel_id, created_at, words)
    select id, "channelId", "createdAt", words::tsvector
    from json_to_recordset(${JSON.stringify(given)}::text::json)
      as given (id uuid, "channelId" uuid, "createdAt" timestamptz, words text)
    on conflict do nothing`)
}

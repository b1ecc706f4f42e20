import { channelStream, type EventType } from '@conntext/contracts'
import { messageExpiries, messages } from '@conntext/db-communications'
import type { Clock } from '@conntext/kernel'
import { appendEvents } from '@conntext/streams'
import { and, asc, eq, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import type { Dropped } from '../media/removal.ts'
import { removeMessages } from '../messages/purge.ts'
import { redactEvents, redactQuotes } from '../messages/redaction.ts'
import type { MessageRow } from '../messages/shape.ts'
import { type Transaction, tables, type WriteStreams } from '../streams/writer.ts'

// While they are deleted, nobody writes in their channel.
const MESSAGES_AT_ONCE = 100
const EVENTS_AT_ONCE = 1_000

const EXPIRED: EventType = 'messages.expired'

/** A channel, and up to when what was sent in it goes. */
export type Expiry = { channelId: string; cutoff: Date }

type Deps = { write: WriteStreams; clock: Clock }

/**
 * Deletes the oldest messages of a channel that are older than the cutoff, but for pinned ones, and appends one event
 * that says so; answers whether there may be more. Their rows go, too: with them their nonces, which nobody sends again
 * after a day.
 */
export function expireSome({ write, clock }: Deps, { channelId, cutoff }: Expiry): Promise<boolean> {
  const stream = channelStream(channelId)
  return write([stream], async (tx) => {
    // Planned anew each time: a kept plan from when the tables were small scans them whole, while nobody can write.
    await tx.execute(sql`set local plan_cache_mode = force_custom_plan`)
    const oldest = await listOldest(tx, channelId)
    // The clocks of two instances differ a little: places are in order, times almost.
    const young = oldest.findIndex((row) => row.createdAt >= cutoff)
    const rows = young === -1 ? oldest : oldest.slice(0, young)
    const last = rows.at(-1)
    if (!last) return { answer: false, events: [] }
    const before = last.seq + 1
    const data = { channelId, before, kept: await listKept(tx, channelId, before) }
    const now = clock.now()
    const dropped = await erase(tx, channelId, rows)
    await count(
      tx,
      { channelId, now },
      { messages: rows.filter((row) => row.deletedAt === null).length, files: dropped.length },
    )
    const events = await appendEvents(tx, tables, [{ stream, type: EXPIRED, at: now.toISOString(), data }])
    return { answer: rows.length === MESSAGES_AT_ONCE, events }
  })
}

/** What was deleted before left its row: it is among them. */
const listOldest = (tx: Transaction, channelId: string): Promise<MessageRow[]> =>
  tx
    .select()
    .from(messages)
    .where(and(eq(messages.channelId, channelId), isNull(messages.pinnedAt)))
    .orderBy(asc(messages.seq))
    .limit(MESSAGES_AT_ONCE)

async function listKept(tx: Transaction, channelId: string, before: number): Promise<string[]> {
  const rows = await tx
    .select({ id: messages.id })
    .from(messages)
    .where(and(eq(messages.channelId, channelId), isNotNull(messages.pinnedAt), lt(messages.seq, before)))
    .orderBy(asc(messages.seq))
  return rows.map((row) => row.id)
}

async function erase(tx: Transaction, channelId: string, rows: MessageRow[]): Promise<Dropped[]> {
  const stream = channelStream(channelId)
  const said = rows.filter((row) => row.deletedAt === null)
  // An edit may be younger than its message, and so are the replies that quote it.
  await redactEvents(tx, stream, said)
  await redactQuotes(
    tx,
    stream,
    said.map((row) => row.id),
  )
  return removeMessages(tx, channelId, rows)
}

/** Takes note of how far the pass has got, in the transaction that got there. */
async function count(
  tx: Transaction,
  { channelId, now }: { channelId: string; now: Date },
  gone: { messages: number; files: number },
): Promise<void> {
  await tx
    .insert(messageExpiries)
    .values({ channelId, ...gone, beganAt: now })
    .onConflictDoUpdate({
      target: messageExpiries.channelId,
      set: {
        messages: sql`${messageExpiries.messages} + excluded.messages`,
        files: sql`${messageExpiries.files} + excluded.files`,
      },
    })
}

/**
 * Takes the oldest events out of a channel's log, as far as they are older than the cutoff; answers whether there may be
 * more. Whoever has been away for longer is told to start anew.
 */
export function trimSome({ write }: Pick<Deps, 'write'>, { channelId, cutoff }: Expiry): Promise<boolean> {
  const stream = channelStream(channelId)
  return write([stream], async (tx) => {
    const gone = await tx.execute(sql`
      with oldest as (
        select seq, at from ${tables.streamEvents} where stream = ${stream} order by seq limit ${EVENTS_AT_ONCE}
      ),
      kept as (select coalesce(min(seq), ${Number.MAX_SAFE_INTEGER}) as seq from oldest
        where at >= ${cutoff.toISOString()}::timestamptz)
      delete from ${tables.streamEvents} where stream = ${stream}
        and seq in (select oldest.seq from oldest, kept where oldest.seq < kept.seq)`)
    return { answer: gone.count === EVENTS_AT_ONCE, events: [] }
  })
}

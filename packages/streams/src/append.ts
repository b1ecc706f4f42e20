import { type EventType, eventFrame } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { newId } from '@conntext/kernel'
import { and, asc, eq, inArray, sql } from 'drizzle-orm'
import type { streamTables } from './tables.ts'

export type StreamTables = ReturnType<typeof streamTables>

/** An event that has its number. */
export type Appended = { stream: string; seq: number; frame: string }
export type NewEvent = { id?: string; stream: string; type: EventType | (string & {}); at?: string; data: unknown }

/**
 * Locks the streams and answers where each stands. Whoever holds a stream's lock is the only one who appends to it. Two
 * transactions can't wait for each other, as long as each asks once for all that it needs: rows are locked in the order
 * of their names, and only when all of them are there; what isn't is made first, while nothing is locked.
 */
export async function lockStreams(tx: Executor, tables: StreamTables, names: string[]): Promise<Map<string, number>> {
  const { streams } = tables
  const wanted = [...new Set(names)].sort()
  if (wanted.length === 0) return new Map()
  const named = inArray(streams.name, wanted)
  for (;;) {
    const rows = await tx
      .select({ name: streams.name, lastSeq: streams.lastSeq })
      .from(streams)
      .where(and(named, sql`(select count(*) from ${streams} where ${named}) = ${wanted.length}`))
      .orderBy(asc(streams.name))
      .for('update')
    if (rows.length === wanted.length) return new Map(rows.map((row) => [row.name, row.lastSeq]))
    await tx
      .insert(streams)
      .values(wanted.map((name) => ({ name })))
      .onConflictDoNothing()
  }
}

/** Writes events that already have their numbers, and moves the streams on. The streams must be locked. */
export async function writeEvents(
  tx: Executor,
  tables: StreamTables,
  events: (Appended & { id: string; type: string; at: string })[],
): Promise<void> {
  if (events.length === 0) return
  await tx.insert(tables.streamEvents).values(events)
  const last = new Map(events.map((event) => [event.stream, event.seq]))
  const moved = sql.join(
    [...last].map(([name, seq]) => sql`(${name}::text, ${seq}::bigint)`),
    sql`, `,
  )
  await tx.execute(sql`update ${tables.streams} set last_seq = moved.seq from (values ${moved}) as moved (name, seq)
    where ${tables.streams.name} = moved.name`)
}

/**
 * Appends events in the caller's transaction and answers them with their numbers, for publishing after the commit.
 * An event whose id is already in the log is left out: a repeated delivery appends nothing.
 */
export async function appendEvents(tx: Executor, tables: StreamTables, events: NewEvent[]): Promise<Appended[]> {
  const heads = await lockStreams(
    tx,
    tables,
    events.map((event) => event.stream),
  )
  const given = events.flatMap((event) => event.id ?? [])
  const known = new Set(given.length > 0 ? await knownIds(tx, tables, given) : [])
  const isNew = ({ id }: NewEvent): boolean => {
    if (id === undefined) return true
    const before = known.size
    // Adding it tells, and keeps a second one of this batch out.
    return known.add(id).size > before
  }
  const appended = events.filter(isNew).map((event) => {
    const seq = (heads.get(event.stream) ?? 0) + 1
    heads.set(event.stream, seq)
    const at = event.at ?? new Date().toISOString()
    const frame = eventFrame(event.stream, event.type, seq, at, JSON.stringify(event.data ?? null))
    return { id: event.id ?? newId(), stream: event.stream, type: event.type, seq, at, frame }
  })
  await writeEvents(tx, tables, appended)
  return appended
}

async function knownIds(tx: Executor, { streamEvents }: StreamTables, ids: string[]): Promise<string[]> {
  const rows = await tx.select({ id: streamEvents.id }).from(streamEvents).where(inArray(streamEvents.id, ids))
  return rows.map((row) => row.id)
}

/** Removes a stream and its log for good. */
export async function dropStream(tx: Executor, tables: StreamTables, stream: string): Promise<void> {
  await tx.delete(tables.streamEvents).where(eq(tables.streamEvents.stream, stream))
  await tx.delete(tables.streams).where(eq(tables.streams.name, stream))
}

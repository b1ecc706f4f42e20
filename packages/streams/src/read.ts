import type { StreamEvent } from '@conntext/contracts'
import { and, asc, eq, gt, inArray } from 'drizzle-orm'
import type { Executor, StreamTables } from './append.ts'

/** Where each stream stands; 0 for one in which nothing has happened. */
export async function streamHeads(
  db: Executor,
  tables: StreamTables,
  names: string[],
): Promise<Record<string, number>> {
  const heads = Object.fromEntries(names.map((name) => [name, 0]))
  if (names.length === 0) return heads
  const { streams } = tables
  const rows = await db.select().from(streams).where(inArray(streams.name, names))
  for (const row of rows) heads[row.name] = row.lastSeq
  return heads
}

/**
 * The events after `after`, ascending and gapless. `truncated` when the log no longer reaches back to it: the reader
 * has to fetch the state itself and go on from the stream's head.
 */
export async function streamEvents(
  db: Executor,
  tables: StreamTables,
  query: { stream: string; after: number; limit: number },
): Promise<{ events: StreamEvent[]; truncated: boolean }> {
  const log = tables.streamEvents
  const events = await db
    .select({ seq: log.seq, frame: log.frame })
    .from(log)
    .where(and(eq(log.stream, query.stream), gt(log.seq, query.after)))
    .orderBy(asc(log.seq))
    .limit(query.limit)
  const first = events[0]
  if (first) return { events, truncated: first.seq !== query.after + 1 }
  const { [query.stream]: head = 0 } = await streamHeads(db, tables, [query.stream])
  return { events, truncated: head > query.after }
}

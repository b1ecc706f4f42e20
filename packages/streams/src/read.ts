import type { StreamEvent } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { and, asc, eq, gt, inArray } from 'drizzle-orm'
import type { StreamTables } from './append.ts'

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

type EventsQuery = { stream: string; after: number; limit: number }

/**
 * The events after `after`, ascending and gapless. `truncated` when the log can't tell what came after it, because it no
 * longer reaches back that far, or not yet forward (a backup was restored): the reader has to fetch the state itself and
 * go on from the stream's head.
 */
export async function streamEvents(
  db: Executor,
  tables: StreamTables,
  query: EventsQuery,
): Promise<{ events: StreamEvent[]; truncated: boolean }> {
  const events = await eventsAfter(db, tables, query)
  if (events.length > 0) return page(events, query)
  const { [query.stream]: head = 0 } = await streamHeads(db, tables, [query.stream])
  if (head <= query.after) return { events, truncated: head < query.after }
  // Either the log ends before it, or something was appended since it was read.
  return page(await eventsAfter(db, tables, query), query)
}

const page = (events: StreamEvent[], { after }: EventsQuery) => ({ events, truncated: events[0]?.seq !== after + 1 })

function eventsAfter(db: Executor, { streamEvents: log }: StreamTables, query: EventsQuery): Promise<StreamEvent[]> {
  return db
    .select({ seq: log.seq, frame: log.frame })
    .from(log)
    .where(and(eq(log.stream, query.stream), gt(log.seq, query.after)))
    .orderBy(asc(log.seq))
    .limit(query.limit)
}

import { bigint, pgTable, primaryKey, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

/**
 * The two tables that make a database an owner of streams: where each stream stands, and its log. The log is at once
 * the outbox of the live events and what a client that was away gets replayed.
 */
export function streamTables() {
  const streams = pgTable('streams', {
    name: text().primaryKey(),
    lastSeq: bigint('last_seq', { mode: 'number' }).notNull().default(0),
  })
  const streamEvents = pgTable(
    'stream_events',
    {
      stream: text().notNull(),
      seq: bigint({ mode: 'number' }).notNull(),
      id: uuid().notNull(),
      type: text().notNull(),
      at: timestamp({ withTimezone: true, mode: 'string' }).notNull(),
      // The frame that every client gets, as text: it is never parsed again on its way out.
      frame: text().notNull(),
    },
    (t) => [primaryKey({ columns: [t.stream, t.seq] }), uniqueIndex('stream_events_id').on(t.id)],
  )
  return { streams, streamEvents }
}

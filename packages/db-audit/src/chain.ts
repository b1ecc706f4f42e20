import type { Audit, Query } from './client.ts'
import { EVENT_COLUMNS, type EventRow } from './events.ts'
import { type EventFilter, matching, type TimeWindow } from './filter.ts'

/** A row with its place in the chain, and what its leaf is made of besides the event: base64url, empty where it isn't. */
export type ChainedRow = EventRow & {
  batch: number
  batch_index: number
  origin_salt: string
  personal_salt: string
  origin_hash: string
  personal_hash: string
}

/** The columns of a `ChainedRow`. */
export const CHAINED_COLUMNS = [
  ...EVENT_COLUMNS,
  'batch',
  'batch_index',
  'origin_salt',
  'personal_salt',
  'origin_hash',
  'personal_hash',
]

// ClickHouse writes 64-bit integers as text, or not, as it is set up.
const toChained = (row: ChainedRow): ChainedRow => ({ ...row, batch: Number(row.batch) })

async function select(audit: Audit, { sql, params }: Query): Promise<ChainedRow[]> {
  const rows = await audit.rows<ChainedRow>({
    sql: `SELECT ${CHAINED_COLUMNS.join()} FROM events WHERE ${sql}`,
    params,
  })
  return rows.map(toChained)
}

/** All rows that say that they are of these batches, by their place. The caller bounds how many events those hold. */
export const selectBatches = (audit: Audit, first: number, last: number): Promise<ChainedRow[]> =>
  select(audit, {
    sql: 'batch BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY batch, batch_index, id LIMIT {most:UInt32}',
    params: { first, last, most: 1_000_000 },
  })

/** One event with its place, among those of the window. */
export async function selectChained(audit: Audit, id: string, window: TimeWindow): Promise<ChainedRow | undefined> {
  const { sql, params } = matching(window, { ids: [id] })
  const [row] = await select(audit, { sql: `${sql} ORDER BY batch DESC LIMIT 1`, params })
  return row
}

/** Rows of the window that pass a filter, of these batches and by their place. */
export const selectMatching = (
  audit: Audit,
  query: { window: TimeWindow; filter: EventFilter; first: number; last: number },
): Promise<ChainedRow[]> => {
  const { sql, params } = matching(query.window, query.filter)
  return select(audit, {
    sql: `${sql} AND batch BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY batch, batch_index`,
    params: { ...params, first: query.first, last: query.last },
  })
}

/** Rows outside of the chain: of no batch, or of one after its last. */
export const selectOutside = (audit: Audit, last: number, limit: number): Promise<ChainedRow[]> =>
  select(audit, {
    sql: '(batch = 0 OR batch > {last:UInt64}) ORDER BY batch, batch_index, id LIMIT {limit:UInt32}',
    params: { last, limit },
  })

/** The oldest rows from before the chain, after `after` in the order of time and id. */
export const selectUnchained = (
  audit: Audit,
  after: { occurredAt: Date; id: string } | undefined,
  limit: number,
): Promise<ChainedRow[]> =>
  select(audit, {
    // The first condition is the second's too; but it's this one by which the engine finds its place.
    sql: `batch = 0 AND occurred_at >= fromUnixTimestamp64Milli({time:Int64})
      AND (occurred_at, id) > (fromUnixTimestamp64Milli({time:Int64}), {id:UUID})
      ORDER BY occurred_at, id LIMIT {limit:UInt32}`,
    params: {
      time: after?.occurredAt.getTime() ?? 0,
      id: after?.id ?? '00000000-0000-0000-0000-000000000000',
      limit,
    },
  })

/** The places of a batch that are filled. */
export async function storedIndices(audit: Audit, batch: number): Promise<Set<number>> {
  const rows = await audit.rows<{ batch_index: number }>({
    sql: 'SELECT DISTINCT batch_index FROM events WHERE batch = {batch:UInt64}',
    params: { batch },
  })
  return new Set(rows.map((row) => row.batch_index))
}

/** How long the engine has been up, in seconds. */
export async function engineUptime(audit: Audit): Promise<number> {
  const [row] = await audit.rows<{ seconds: number }>({ sql: 'SELECT toUInt32(uptime()) AS seconds', params: {} })
  return Number(row!.seconds)
}

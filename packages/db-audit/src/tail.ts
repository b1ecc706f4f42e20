import type { Audit } from './client.ts'
import { EVENT_COLUMNS, type EventRow } from './events.ts'
import { conditionsOf, type EventFilter } from './filter.ts'

/** A place in the order in which events were stored: a batch of the chain, and a place in it. */
export type StoredPosition = { batch: number; index: number }
export type StoredRow = EventRow & { batch: number; batch_index: number }

/** Events in the order in which they were stored, behind `after` and up to the end of the batch `upTo`. */
export async function selectStored(
  audit: Audit,
  { after, upTo, filter, limit }: { after: StoredPosition; upTo: number; filter: EventFilter; limit: number },
): Promise<StoredRow[]> {
  const { conditions, params } = conditionsOf(filter)
  const place = [
    'batch >= {afterBatch:UInt64}',
    'batch <= {upTo:UInt64}',
    '(batch > {afterBatch:UInt64} OR batch_index > {afterIndex:UInt32})',
  ]
  const rows = await audit.rows<StoredRow>({
    sql: `SELECT ${EVENT_COLUMNS.join(', ')}, batch, batch_index FROM events WHERE ${[...place, ...conditions].join(' AND ')}
      ORDER BY batch, batch_index LIMIT {limit:UInt32}`,
    params: { ...params, afterBatch: after.batch, afterIndex: after.index, upTo, limit },
  })
  return rows.map((row) => ({ ...row, batch: Number(row.batch) }))
}

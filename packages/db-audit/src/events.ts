import type { Audit } from './client.ts'
import { type EventFilter, matching, type TimeWindow } from './filter.ts'

/**
 * A row of `events`; times are RFC 3339 text in UTC, `data` is JSON text, and so is `personal`: the fields of the event's
 * data that tell of a person, empty where there are none.
 */
export type EventRow = {
  id: string
  occurred_at: string
  received_at: string
  service: string
  action: string
  severity: string
  outcome: string
  actor_kind: string
  actor_id: string | null
  session_id: string | null
  address: string | null
  user_agent: string | null
  target_kind: string
  target_id: string | null
  data: string
  personal: string
  reason: string | null
  request_id: string | null
  trace_id: string | null
}

/**
 * All that an event is, without its place in the chain. The columns that the chain adds (`chain.ts`) are nobody's business
 * who reads events: with a salt, an address that was removed could be guessed.
 */
export const EVENT_COLUMNS: readonly (keyof EventRow)[] = [
  'id',
  'occurred_at',
  'received_at',
  'service',
  'action',
  'severity',
  'outcome',
  'actor_kind',
  'actor_id',
  'session_id',
  'address',
  'user_agent',
  'target_kind',
  'target_id',
  'data',
  'personal',
  'reason',
  'request_id',
  'trace_id',
]

/** Where a page ended: the place of its last row in the order of time and id. */
export type EventPosition = { occurredAt: Date; id: string }

/** Events newest first, after `after` in that order; equal times are ordered by id, so that paging is stable. */
export function selectEvents(
  audit: Audit,
  query: { window: TimeWindow; filter: EventFilter; after?: EventPosition | undefined; limit: number },
): Promise<EventRow[]> {
  const { sql, params } = matching(query.window, query.filter)
  const { after } = query
  const position = after
    ? {
        sql: ' AND (occurred_at, id) < (fromUnixTimestamp64Milli({afterTime:Int64}), {afterId:UUID})',
        params: { afterTime: after.occurredAt.getTime(), afterId: after.id },
      }
    : { sql: '', params: {} }
  return audit.rows<EventRow>({
    sql: `SELECT ${EVENT_COLUMNS.join()} FROM events WHERE ${sql}${position.sql}
      ORDER BY occurred_at DESC, id DESC LIMIT {limit:UInt32}`,
    params: { ...params, ...position.params, limit: query.limit },
  })
}

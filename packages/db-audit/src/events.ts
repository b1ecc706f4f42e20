import { createHash } from 'node:crypto'
import type { Audit, Query } from './client.ts'

/** A row of `events`; times are RFC 3339 text in UTC, `data` is JSON text. */
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
  reason: string | null
  request_id: string | null
  trace_id: string | null
}

/** Both ends belong to it. Every read of events has one, so that none ever scans all partitions by accident. */
export type TimeWindow = { from: Date; to: Date }

export type EventFilter = {
  ids?: string[]
  action?: string
  actorId?: string
  targetId?: string
  service?: string
  outcome?: string
  severity?: string
}

/** Where a page ended: the place of its last row in the order of time and id. */
export type EventPosition = { occurredAt: Date; id: string }

const CONDITIONS: { [K in keyof EventFilter]-?: string } = {
  ids: 'id IN ({ids:Array(UUID)})',
  action: 'action = {action:String}',
  actorId: 'actor_id = {actorId:UUID}',
  targetId: 'target_id = {targetId:String}',
  service: 'service = {service:String}',
  outcome: 'outcome = {outcome:String}',
  severity: 'severity = {severity:String}',
}

/** The condition for events of a window that pass a filter, to stand behind WHERE. */
export function matching({ from, to }: TimeWindow, filter: EventFilter): Query {
  const wanted = Object.keys(CONDITIONS).filter((key) => filter[key as keyof EventFilter] !== undefined)
  const conditions = [
    'occurred_at >= fromUnixTimestamp64Milli({from:Int64})',
    'occurred_at <= fromUnixTimestamp64Milli({to:Int64})',
    ...wanted.map((key) => CONDITIONS[key as keyof EventFilter]),
  ]
  return { sql: conditions.join(' AND '), params: { from: from.getTime(), to: to.getTime(), ...filter } }
}

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
    sql: `SELECT * FROM events WHERE ${sql}${position.sql} ORDER BY occurred_at DESC, id DESC LIMIT {limit:UInt32}`,
    params: { ...params, ...position.params, limit: query.limit },
  })
}

/** Which of the ids are stored already, among the events of the window. */
export async function storedIds(audit: Audit, ids: string[], window: TimeWindow): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const { sql, params } = matching(window, { ids })
  const rows = await audit.rows<{ id: string }>({ sql: `SELECT id FROM events WHERE ${sql}`, params })
  return new Set(rows.map((row) => row.id))
}

/** Stores events in one insert and waits until they are. The same batch again is stored once. */
export async function insertEvents(audit: Audit, rows: EventRow[]): Promise<void> {
  if (rows.length === 0) return
  const token = createHash('sha256')
    .update(rows.map((row) => row.id).join())
    .digest('hex')
  await audit.insert('events', rows, token)
}

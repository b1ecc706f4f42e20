import { createHash } from 'node:crypto'
import type { Audit } from './client.ts'
import type { EventPosition } from './events.ts'
import type { TimeWindow } from './filter.ts'

/** A row of `logs`; times are RFC 3339 text in UTC, `fields` is JSON text. */
export type LogRow = {
  id: string
  at: string
  service: string
  instance: string
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  request_id: string | null
  trace_id: string | null
  fields: string
}

export type LogFilter = {
  service?: string
  /** At least so severe. */
  level?: LogRow['level']
  /** In the message or the fields, in any case. */
  text?: string
  requestId?: string
  traceId?: string
}

const LEVELS: LogRow['level'][] = ['debug', 'info', 'warn', 'error']

const CONDITIONS: { [K in keyof LogFilter]-?: string } = {
  service: 'service = {service:String}',
  level: 'level IN {levels:Array(String)}',
  text: '(positionCaseInsensitiveUTF8(message, {text:String}) > 0 OR positionCaseInsensitiveUTF8(fields, {text:String}) > 0)',
  requestId: 'request_id = {requestId:String}',
  traceId: 'trace_id = {traceId:String}',
}

/** Lines newest first, after `after` in that order. */
export function selectLogs(
  audit: Audit,
  query: { window: TimeWindow; filter: LogFilter; after?: EventPosition | undefined; limit: number },
): Promise<LogRow[]> {
  const { window, filter, after, limit } = query
  const wanted = (Object.keys(CONDITIONS) as (keyof LogFilter)[]).filter((key) => filter[key] !== undefined)
  const conditions = [
    'at >= fromUnixTimestamp64Milli({from:Int64})',
    'at <= fromUnixTimestamp64Milli({to:Int64})',
    ...wanted.map((key) => CONDITIONS[key]),
    ...(after ? ['(at, id) < (fromUnixTimestamp64Milli({afterTime:Int64}), {afterId:String})'] : []),
  ]
  return audit.rows<LogRow>({
    sql: `SELECT * FROM logs WHERE ${conditions.join(' AND ')} ORDER BY at DESC, id DESC LIMIT {limit:UInt32}`,
    params: {
      from: window.from.getTime(),
      to: window.to.getTime(),
      ...filter,
      levels: LEVELS.slice(LEVELS.indexOf(filter.level ?? 'debug')),
      ...(after && { afterTime: after.occurredAt.getTime(), afterId: after.id }),
      limit,
    },
  })
}

/** The days, as `2026-03-01`, of which there are lines. */
export async function logDays(audit: Audit): Promise<string[]> {
  const rows = await audit.rows<{ day: string }>({
    sql: `SELECT DISTINCT partition AS day FROM system.parts
      WHERE database = currentDatabase() AND table = 'logs' AND active ORDER BY day`,
    params: {},
  })
  return rows.map(({ day }) => day)
}

/** Removes all lines of a day; one that is gone already is none. */
export const dropLogDay = (audit: Audit, day: string): Promise<void> =>
  audit.mutate({ sql: 'ALTER TABLE logs DROP PARTITION {day:String}', params: { day } })

/** Stores lines in one insert. The same lines again are stored once. */
export async function insertLogs(audit: Audit, rows: LogRow[]): Promise<void> {
  if (rows.length === 0) return
  const token = createHash('sha256')
    .update(rows.map((row) => row.id).join())
    .digest('hex')
  await audit.insert('logs', rows, token)
}

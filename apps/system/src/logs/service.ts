import { type LogEntry, type LogQuery, MAX_LOG_RETENTION_DAYS, type Page, pageLimit } from '@conntext/contracts'
import { type Audit, type LogRow, selectLogs, type TimeWindow } from '@conntext/db-audit'
import { type Caller, CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor, pageOf } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { fromAudit } from '../audit/errors.ts'
import type { Recorder } from '../recorder.ts'
import { logErrors } from './errors.ts'

export type LogDeps = { audit: Audit; clock: Clock; recorder: Recorder }

const DAY_MS = 86_400_000
// Longer than anything is kept.
const KEPT_MS = (MAX_LOG_RETENTION_DAYS + 2) * DAY_MS
// The clock of another machine may be a little ahead of ours.
const CLOCK_SKEW_MS = 60_000

/** A page of what was logged, newest first. @throws request.invalid, logs.badWindow (422), dependency.away (503) */
export async function listLogs(deps: LogDeps, caller: Caller, query: LogQuery): Promise<Page<LogEntry>> {
  const { limit: wanted, cursor, from, to, ...filter } = query
  const limit = pageLimit(wanted)
  const position = cursor === undefined ? undefined : readCursor(cursor)
  const window = windowOf(deps.clock, query, position?.from)
  const named = Object.keys(query).filter((name) => name !== 'limit' && name !== 'cursor')
  await deps.recorder.queried(caller, named, 'logs.queried')
  const rows = await fromAudit(selectLogs(deps.audit, { window, filter, after: position?.after, limit: limit + 1 }))
  return pageOf(rows, limit, toEntry, (row) => encodeCursor([window.from.getTime(), Date.parse(row.at), row.id]))
}

function readCursor(cursor: string) {
  const [from, time, id] = decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_NUMBER, CURSOR_ID])
  return { from: new Date(Number(from)), after: { occurredAt: new Date(Number(time)), id: id! } }
}

function windowOf(clock: Clock, query: LogQuery, begun: Date | undefined): TimeWindow {
  const now = clock.now().getTime()
  const to = query.to === undefined ? new Date(now + CLOCK_SKEW_MS) : new Date(query.to)
  const span = query.requestId !== undefined || query.traceId !== undefined ? KEPT_MS : DAY_MS
  const usual = begun ?? new Date((query.to === undefined ? now : to.getTime()) - span)
  const from = query.from === undefined ? usual : new Date(query.from)
  if (from <= to) return { from, to }
  throw logErrors.badWindow({ errors: [{ path: '/query/from', message: 'must not be after `to`' }] })
}

const toEntry = ({ request_id, trace_id, fields, ...row }: LogRow): LogEntry => ({
  ...row,
  requestId: request_id,
  traceId: trace_id,
  fields: JSON.parse(fields) as LogEntry['fields'],
})

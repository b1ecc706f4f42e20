import { type AuditEvent, type AuditQuery, type Page, pageLimit } from '@conntext/contracts'
import { type Audit, type EventFilter, type EventPosition, selectEvents, type TimeWindow } from '@conntext/db-audit'
import { type Caller, CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor, pageOf } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { Recorder } from '../recorder.ts'
import { auditErrors, fromAudit } from './errors.ts'
import { toEvent } from './rows.ts'

export type AuditDeps = { audit: Audit; clock: Clock; recorder: Recorder }

const DAY_MS = 86_400_000
const DEFAULT_WINDOW_MS = 30 * DAY_MS
// The clock of another machine may be a little ahead of ours.
const CLOCK_SKEW_MS = 60_000
const EVERYTHING: TimeWindow = { from: new Date(0), to: new Date(Date.UTC(2200, 0, 1)) }

/** A page of the trail, newest first. @throws request.invalid, audit.badWindow (422), dependency.away (503) */
export async function listEvents(deps: AuditDeps, caller: Caller, query: AuditQuery): Promise<Page<AuditEvent>> {
  const { limit: wanted, cursor, from, to, ...filter } = query
  const limit = pageLimit(wanted)
  const position = cursor === undefined ? undefined : readCursor(cursor)
  const window = windowOf(deps.clock, { from, to }, position)
  await deps.recorder.queried(
    caller,
    Object.keys(query).filter((name) => name !== 'limit' && name !== 'cursor'),
  )
  const asked: EventFilter = filter
  const rows = await fromAudit(
    selectEvents(deps.audit, { window, filter: asked, after: position?.after, limit: limit + 1 }),
  )
  return pageOf(rows, limit, toEvent, (row) => {
    return encodeCursor([window.from.getTime(), Date.parse(row.occurred_at), row.id])
  })
}

/** @throws audit.notFound (404), dependency.away (503) */
export async function getEvent(deps: AuditDeps, caller: Caller, id: string): Promise<AuditEvent> {
  await deps.recorder.queried(caller, ['id'])
  for (const window of [aroundId(id), EVERYTHING]) {
    const [row] = await fromAudit(selectEvents(deps.audit, { window, filter: { ids: [id] }, limit: 1 }))
    if (row) return toEvent(row)
  }
  throw auditErrors.notFound()
}

/** An id is made when its event happens and says so (RFC 9562): a look at that day spares a search through all. */
function aroundId(id: string): TimeWindow {
  const made = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
  const bounded = Math.min(made, EVERYTHING.to.getTime())
  return { from: new Date(Math.max(0, bounded - DAY_MS)), to: new Date(bounded + DAY_MS) }
}

type Position = { from: Date; after: EventPosition }

// The beginning of the window is part of it: a default one would move on from page to page.
function readCursor(cursor: string): Position {
  const [from, time, id] = decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_NUMBER, CURSOR_ID])
  return { from: new Date(Number(from)), after: { occurredAt: new Date(Number(time)), id: id! } }
}

function windowOf(
  clock: Clock,
  asked: { from: string | undefined; to: string | undefined },
  position: Position | undefined,
): TimeWindow {
  const now = clock.now().getTime()
  const to = asked.to === undefined ? new Date(now + CLOCK_SKEW_MS) : new Date(asked.to)
  const before = asked.to === undefined ? now : to.getTime()
  const from =
    asked.from === undefined ? (position?.from ?? new Date(before - DEFAULT_WINDOW_MS)) : new Date(asked.from)
  if (!(from <= to)) {
    const message = 'must not be after `to`'
    throw auditErrors.badWindow({ errors: [{ path: '/query/from', message }] })
  }
  return { from, to }
}

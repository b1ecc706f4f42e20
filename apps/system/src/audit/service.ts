import type { Bus } from '@conntext/bus'
import { type AuditEvent, type AuditQuery, type Page, pageLimit } from '@conntext/contracts'
import { type Audit, type EventPosition, selectEvents } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { type Caller, CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor, type Guard, pageOf } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { Recorder } from '../recorder.ts'
import { auditErrors, fromAudit } from './errors.ts'
import { filterOf, namesOf, windowOf } from './filters.ts'
import { toEvent } from './rows.ts'
import { windowsOf } from './windows.ts'

export type AuditDeps = { audit: Audit; clock: Clock; recorder: Recorder }

/** What the costlier ways to read the trail need besides: each use of them is recorded. */
export type AnalyticsDeps = AuditDeps & {
  db: ServerDetails
  bus: Bus
  guard: Guard
  log: Logger
  /** How long somebody's SQL may run, where that isn't the usual time. */
  sqlSeconds?: number
  nudge(): void
}

/** A page of the trail, newest first. @throws request.invalid, audit.badWindow (422), dependency.away (503) */
export async function listEvents(deps: AuditDeps, caller: Caller, query: AuditQuery): Promise<Page<AuditEvent>> {
  const { limit: wanted, cursor, from, to, ...filter } = query
  const limit = pageLimit(wanted)
  const position = cursor === undefined ? undefined : readCursor(cursor)
  const asked = filterOf(filter)
  const window = windowOf(deps.clock, { from, to }, position?.from)
  await deps.recorder.queried(caller, namesOf(query))
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
  return findEvent(deps, id)
}

/** @throws audit.notFound (404), dependency.away (503) */
export async function findEvent({ audit }: Pick<AuditDeps, 'audit'>, id: string): Promise<AuditEvent> {
  for (const window of windowsOf(id)) {
    const [row] = await fromAudit(selectEvents(audit, { window, filter: { ids: [id] }, limit: 1 }))
    if (row) return toEvent(row)
  }
  throw auditErrors.notFound()
}

type Position = { from: Date; after: EventPosition }

// The beginning of the window is part of it: a default one would move on from page to page.
function readCursor(cursor: string): Position {
  const [from, time, id] = decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_NUMBER, CURSOR_ID])
  return { from: new Date(Number(from)), after: { occurredAt: new Date(Number(time)), id: id! } }
}

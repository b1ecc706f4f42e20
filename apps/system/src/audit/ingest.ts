import type { AuditEvent } from '@conntext/contracts'
import { type Audit, insertEvents, storedIds } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Clock } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import type { Transaction } from '../change.ts'
import { auditAway, auditErrors, fromAudit } from './errors.ts'
import { toRow } from './rows.ts'

type Deps = { db: ServerDetails; audit: Audit; clock: Clock }
export type Ingest = (request: { events: AuditEvent[] }) => Promise<void>

// Between these the column's type holds every millisecond.
const EARLIEST = Date.UTC(1970, 0, 1)
const LATEST = Date.UTC(2200, 0, 1)

/**
 * Stores audit events for good, each id once, whatever is repeated, reordered or sent at the same time: batches are
 * taken one after the other (in this process by a queue, among several by a lock in Postgres), and what is stored
 * already is left out.
 * @throws audit.unstorable (422), dependency.away (503)
 */
export function createIngest(deps: Deps): Ingest {
  let last: Promise<unknown> = Promise.resolve()
  return ({ events }) => {
    const storing = last.then(() => store(deps, events))
    last = storing.catch(() => {})
    return storing
  }
}

async function store({ db, audit, clock }: Deps, events: AuditEvent[]): Promise<void> {
  const times = events.map(timeOf)
  if (events.length === 0) return
  const window = { from: new Date(Math.min(...times)), to: new Date(Math.max(...times)) }
  const distinct = [...new Map(events.map((event) => [event.id, event])).values()]
  await db.transaction(async (tx) => {
    await lockIngest(tx)
    const ids = distinct.map((event) => event.id)
    const stored = await fromAudit(storedIds(audit, ids, window))
    const rows = distinct.filter((event) => !stored.has(event.id)).map((event) => toRow(event, clock.now()))
    await fromAudit(insertEvents(audit, rows))
  })
}

function timeOf({ id, occurredAt }: AuditEvent): number {
  const time = Date.parse(occurredAt)
  if (time >= EARLIEST && time < LATEST) return time
  throw auditErrors.unstorable(`The time of event ${id} is out of range.`)
}

async function lockIngest(tx: Transaction): Promise<void> {
  try {
    await tx.execute(sql`set local lock_timeout = '10s'`)
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('audit.ingest', 0))`)
  } catch (error) {
    throw isLockTimeout(error) ? auditAway(error) : error
  }
}

const isLockTimeout = (error: unknown): boolean => (error as { cause?: { code?: string } }).cause?.code === '55P03'

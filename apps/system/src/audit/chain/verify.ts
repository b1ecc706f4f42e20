import type { AuditFinding } from '@conntext/contracts'
import { type Audit, type ChainedRow, selectBatches, selectOutside } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Keyring } from '@conntext/keyring'
import { auditErrors, fromAudit } from '../errors.ts'
import { compareRows } from './compare-rows.ts'
import { Findings } from './findings.ts'
import { LogWalk } from './log-walk.ts'
import { type Note, parseNotes } from './note.ts'
import { type BatchRow, endOfPart, readBatches, readHead, readState } from './queries.ts'
import { readRecords } from './records.ts'

export type VerifyDeps = { db: ServerDetails; audit: Audit; keyring: Keyring }

export type VerifyRequest = {
  /** Batches, both ends included; all where it isn't given. */
  from?: number | undefined
  to?: number | undefined
  /** Checkpoints that were kept elsewhere, one after the other. */
  checkpoint?: string | undefined
}
export type Progress = { batches: number; events: number; totalEvents: number }
export type Verdict = { batches: number; events: number; findings: AuditFinding[]; findingCount: number }

const MOST_OUTSIDE = 1_000

/**
 * Recomputes the log and compares it with what is stored: every batch's place, root, hash and signature, every row of it
 * in ClickHouse, and, for the whole log, that ClickHouse has no others; and the checkpoints that were kept elsewhere. In
 * memory that doesn't grow with the log.
 * @throws dependency.away (503)
 */
export async function verifyLog(
  deps: VerifyDeps,
  request: VerifyRequest,
  onProgress: (progress: Progress) => void | Promise<void> = () => {},
): Promise<Verdict> {
  const { db, keyring } = deps
  const findings = new Findings()
  const { logId } = await readState(db)
  const head = await readHead(db)
  const last = head?.number ?? 0
  const from = Math.max(1, request.from ?? 1)
  const to = Math.min(last, request.to ?? last)
  const records = await readRecords(db, keyring, logId, findings)
  const notes = request.checkpoint === undefined ? [] : readNotes(request.checkpoint)
  const walk = await LogWalk.begin({ db, logId, records, findings, notes }, from)
  const total = await countEvents(deps, from, to)
  const done = { batches: 0, events: 0, totalEvents: total }
  // While one part is looked at, the engine reads the next.
  let next = from <= to ? readPart(deps, from, to) : undefined
  while (next) {
    const { first, end, batches, rows }: Part = await next
    next = end < to ? readPart(deps, end + 1, to) : undefined
    next?.catch(() => {})
    walk.take(batches, first, end)
    await compareRows(deps, { batches, rows, records, findings })
    done.batches += end - first + 1
    done.events += batches.reduce((sum, { size }) => sum + size, 0)
    await onProgress(done)
  }
  await walk.compareNotes(last)
  if (request.from === undefined && request.to === undefined) await findOutside(deps, findings)
  return { batches: done.batches, events: done.events, ...findings.result() }
}

type Part = { first: number; end: number; batches: BatchRow[]; rows: ChainedRow[] }

async function readPart({ db, audit }: VerifyDeps, first: number, to: number): Promise<Part> {
  const end = await endOfPart(db, first, to)
  const batches = await readBatches(db, first, end)
  return { first, end, batches, rows: await fromAudit(selectBatches(audit, first, end)) }
}

/** @throws audit.badCheckpoint (422) */
export function readNotes(text: string): Note[] {
  const notes = parseNotes(text)
  if (!notes) throw auditErrors.badCheckpoint()
  return notes
}

async function countEvents({ db }: VerifyDeps, from: number, to: number): Promise<number> {
  if (to < from) return 0
  const [first] = await readBatches(db, from, from)
  const [last] = await readBatches(db, to, to)
  return last ? last.start + last.size - (first?.start ?? 0) : 0
}

/** Rows that claim no place in the log, or one that it doesn't have. */
async function findOutside({ db, audit }: VerifyDeps, findings: Findings): Promise<void> {
  const before = (await readHead(db))?.number ?? 0
  const rows = await fromAudit(selectOutside(audit, before, MOST_OUTSIDE))
  // What was appended meanwhile is in the log by now.
  const now = (await readHead(db))?.number ?? 0
  for (const row of rows) {
    if (row.batch > 0 && row.batch <= now) continue
    findings.add('added', { batch: row.batch, index: row.batch_index, eventId: row.id }, 'A row that is in no batch.')
  }
}

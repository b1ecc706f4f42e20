import type { AuditFinding, AuditVerification, AuditVerificationRequest } from '@conntext/contracts'
import { systemActor } from '@conntext/contracts'
import { auditBatches, auditVerifications, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { AppError, type Logger, newId } from '@conntext/kernel'
import { desc, eq, gte, inArray, lt, lte, min, sql } from 'drizzle-orm'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { announceWork } from '../../work.ts'
import { auditErrors } from '../errors.ts'
import { type Progress, readNotes, type VerifyDeps, verifyLog } from './verify.ts'

type Row = typeof auditVerifications.$inferSelect

const MOST_WAITING = 10
const TELL_EVERY_MS = 500
/** Whoever carries one out and doesn't say so for so long is gone, and somebody else begins it anew. */
const GONE = sql`interval '1 minute'`
const KEPT = sql`interval '90 days'`

export const toVerification = (row: Row): AuditVerification => ({
  id: row.id,
  state: row.state,
  fromBatch: row.fromBatch,
  toBatch: row.toBatch,
  batches: row.batches,
  events: row.events,
  totalEvents: row.totalEvents,
  intact: row.intact,
  findingCount: row.findingCount,
  findings: row.findings as AuditFinding[],
  error: row.error,
  createdAt: row.createdAt.toISOString(),
  finishedAt: row.finishedAt?.toISOString() ?? null,
})

/**
 * Asks for a verification: it is carried out by whichever instance is free. One that waits is the same for all who ask
 * for it. Without a caller it was the operator, from beside the server.
 * @throws audit.badCheckpoint (422), audit.badRange (422), audit.busy (409)
 */
export async function askVerification(
  db: ServerDetailsExecutor,
  request: AuditVerificationRequest,
  caller?: Caller,
): Promise<AuditVerification> {
  const { checkpoint } = request
  if (checkpoint !== undefined) readNotes(checkpoint)
  const [fromBatch, toBatch] = await rangeOf(db, request)
  return db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('audit.verifications', 0))`)
    const { state, id } = auditVerifications
    const open = await tx
      .select()
      .from(auditVerifications)
      .where(inArray(state, ['waiting', 'running']))
      .orderBy(id)
    const asked = { fromBatch, toBatch, checkpoint: checkpoint ?? null }
    const same = open.find((one) => one.state === 'waiting' && isSame(one, asked))
    if (!same && open.length >= MOST_WAITING) throw auditErrors.busy()
    const row = same ?? (await insertVerification(tx, { ...asked, askedBy: caller?.userId ?? null }))
    const data = { fromBatch, toBatch, against: checkpoint !== undefined }
    const actor = caller ? actorOf(caller) : systemActor
    await recordAudit(tx, [systemAudit('audit.verificationAsked', actor, row.id, data)])
    await announceWork(tx, 'verifications')
    return toVerification(row)
  })
}

type Asked = Pick<Row, 'fromBatch' | 'toBatch' | 'checkpoint'>

const isSame = (one: Asked, other: Asked): boolean =>
  one.fromBatch === other.fromBatch && one.toBatch === other.toBatch && one.checkpoint === other.checkpoint

async function insertVerification(tx: ServerDetailsExecutor, asked: Asked & Pick<Row, 'askedBy'>): Promise<Row> {
  const [row] = await tx
    .insert(auditVerifications)
    .values({ id: newId(), state: 'waiting', ...asked })
    .returning()
  return row!
}

// Nothing is older, and Postgres has no year 0.
const momentOf = (time: string): Date => new Date(Math.max(0, Date.parse(time)))

/** The batches that are meant; null for the log's beginning and end. */
async function rangeOf(
  db: ServerDetailsExecutor,
  { fromBatch, toBatch, from, to }: AuditVerificationRequest,
): Promise<[number | null, number | null]> {
  const firstSince = async (time: string) => {
    const condition = gte(auditBatches.at, momentOf(time))
    const [row] = await db
      .select({ number: min(auditBatches.number) })
      .from(auditBatches)
      .where(condition)
    return row?.number ?? undefined
  }
  const lastUntil = async (time: string) => {
    const condition = lte(auditBatches.at, momentOf(time))
    const rows = db.select({ number: auditBatches.number }).from(auditBatches).where(condition)
    return (await rows.orderBy(desc(auditBatches.number)).limit(1))[0]?.number
  }
  const first = fromBatch ?? (from === undefined ? null : await firstSince(from))
  const last = toBatch ?? (to === undefined ? null : await lastUntil(to))
  if (first === undefined || last === undefined) throw auditErrors.badRange('No batch was made in that time.')
  if (first !== null && last !== null && first > last) throw auditErrors.badRange('It ends before it begins.')
  return [first, last]
}

/** @throws audit.noVerification (404) */
export async function getVerification(db: ServerDetailsExecutor, id: string): Promise<AuditVerification> {
  const [row] = await db.select().from(auditVerifications).where(eq(auditVerifications.id, id))
  if (!row) throw auditErrors.noVerification()
  return toVerification(row)
}

/** Carries out what is waiting, one after the other, until nothing is, or `stopping` is aborted. Answers how many. */
export async function carryOut(deps: VerifyDeps & { log: Logger }, stopping: AbortSignal): Promise<number> {
  let count = 0
  for (; !stopping.aborted; count += 1) {
    const row = await claim(deps.db)
    if (!row) break
    await carryOutOne(deps, row, stopping)
  }
  if (count > 0) await deps.db.delete(auditVerifications).where(lt(auditVerifications.createdAt, sql`now() - ${KEPT}`))
  return count
}

async function claim(db: ServerDetailsExecutor): Promise<Row | undefined> {
  const [row] = await db
    .update(auditVerifications)
    .set({ state: 'running', updatedAt: sql`now()` })
    .where(
      sql`${auditVerifications.id} = (select id from audit_verifications
        where state = 'waiting' or (state = 'running' and updated_at < now() - ${GONE})
        order by created_at limit 1 for update skip locked)`,
    )
    .returning()
  return row
}

class Interrupted extends Error {}

async function carryOutOne(deps: VerifyDeps & { log: Logger }, row: Row, stopping: AbortSignal): Promise<void> {
  const { db, log } = deps
  const set = (values: Partial<Row>, tx: ServerDetailsExecutor = db) =>
    tx
      .update(auditVerifications)
      .set({ ...values, updatedAt: sql`now()` })
      .where(eq(auditVerifications.id, row.id))
  let told = 0
  const onProgress = async (progress: Progress) => {
    if (stopping.aborted) throw new Interrupted()
    if (Date.now() - told < TELL_EVERY_MS) return
    told = Date.now()
    await set(progress)
  }
  try {
    const request = { from: row.fromBatch ?? undefined, to: row.toBatch ?? undefined }
    const verdict = await verifyLog(deps, { ...request, checkpoint: row.checkpoint ?? undefined }, onProgress)
    const { batches, events, findings, findingCount } = verdict
    const intact = findingCount === 0
    if (!intact) log.error({ verification: row.id, findings: findingCount }, 'the audit trail has been tampered with')
    await db.transaction(async (tx) => {
      const ended = { batches, events, totalEvents: events, intact, findings, findingCount }
      await set({ ...ended, state: 'done', finishedAt: new Date() }, tx)
      await recordAudit(tx, [
        intact
          ? systemAudit('audit.verified', systemActor, row.id, { batches, events })
          : systemAudit('audit.tamperingFound', systemActor, row.id, {
              findings: findingCount,
              kinds: [...new Set(findings.map(({ kind }) => kind))],
            }),
      ])
    })
  } catch (error) {
    // Another instance, or this one after its start, begins it anew.
    if (error instanceof Interrupted) {
      await set({ state: 'waiting' })
      return announceWork(db, 'verifications')
    }
    log.warn({ err: error, verification: row.id }, 'a verification could not be carried out')
    // What else is wrong with a store is the log's to tell.
    const told = error instanceof AppError ? (error.detail ?? error.title) : 'The log of the server tells why.'
    await set({ state: 'failed', error: told, finishedAt: new Date() })
  }
}

import { type AuditEvent, systemActor } from '@conntext/contracts'
import type { Audit, ChainedRow, EventRow } from '@conntext/db-audit'
import { auditErasures, auditPending, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { asc, eq, inArray, isNull } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { fromAudit } from '../errors.ts'
import type { ChainDeps } from '../ingest.ts'
import { linesOf, openLines, sealLines } from './append.ts'
import type { Signers } from './keys.ts'
import { eraseOrigin, erasePersonal } from './leaf.ts'
import { type ChainState, erasedAmong, lockChain } from './queries.ts'
import { settleLeft } from './settle.ts'
import { erasureText } from './signing.ts'
import { atTask } from './task.ts'

// Decision 0032. What tells where somebody was (their address and program), and what tells of somebody who was acted
// upon (a name, a reason), is covered by the chain through salted hashes alone. When an account is deleted the values and
// their salts are removed, and the hashes take their place: every proof stays as it was.

const DELETIONS = new Set(['user.deleted', 'bot.deleted'])
const AT_ONCE = 100

/**
 * Owes the erasure of whoever's account was deleted, as a signed record: without one a removal counts as tampering.
 * Answers how many accounts that are.
 */
export async function oweErasures(
  tx: Transaction,
  { signers, clock }: { signers: Signers; clock: ChainDeps['clock'] },
  state: ChainState,
  events: AuditEvent[],
): Promise<number> {
  const deleted = events.filter(({ service, action }) => service === 'auth' && DELETIONS.has(action))
  for (const { target } of deleted) {
    if (target.id === null) continue
    const erasure = { subject: target.id, at: clock.now() }
    const signer = await signers(tx, state.keyId)
    const signature = signer.sign(erasureText(state.logId, erasure))
    await tx
      .insert(auditErasures)
      .values({ ...erasure, keyId: signer.id, signature })
      .onConflictDoNothing()
  }
  return deleted.length
}

/** An anonymous actor may well have been the person that it was about: a login that failed, say. */
const isWhere = (row: EventRow, subject: Set<string>): boolean =>
  (row.actor_id !== null && subject.has(row.actor_id)) || (row.actor_kind === 'anonymous' && isAbout(row, subject))

const isAbout = (row: EventRow, subjects: Set<string>): boolean =>
  row.target_kind === 'user' && row.target_id !== null && subjects.has(row.target_id)

/** Whether the record of these erasures explains that the row's values are gone. */
export const mayLackOrigin = isWhere
export const mayLackPersonal = isAbout

/** New events without what would have to be removed at once: those that arrive after the erasure. */
export async function withoutErased(tx: ServerDetailsExecutor, rows: EventRow[]): Promise<EventRow[]> {
  const people = rows.flatMap((row) => [row.actor_id, row.target_kind === 'user' ? row.target_id : null])
  const isUuid = (id: string | null): id is string => id !== null && /^[0-9a-f-]{36}$/.test(id)
  const erased = await erasedAmong(tx, [...new Set(people.filter(isUuid))])
  if (erased.size === 0) return rows
  return rows.map((row) => ({
    ...row,
    ...(isWhere(row, erased) && { address: null, user_agent: null }),
    ...(isAbout(row, erased) && { personal: '', reason: null }),
  }))
}

const SUBJECTS = 'Array(String)'
const WHERE_ORIGIN = `origin_salt != '' AND (toString(actor_id) IN ({subjects:${SUBJECTS}})
  OR (actor_kind = 'anonymous' AND target_kind = 'user' AND target_id IN ({subjects:${SUBJECTS}})))`
const WHERE_PERSONAL = `personal_salt != '' AND target_kind = 'user' AND target_id IN ({subjects:${SUBJECTS}})`

// The same as `commitment` in leaf.ts.
const measured = (column: string) => `ifNull(concat(toString(length(${column})), ':', ${column}), '-')`
const commitment = (salt: string, ...columns: string[]) =>
  `lower(hex(SHA256(concat(${[salt, ...columns.map(measured)].join(', ')}))))`

/** Whose data is being erased. */
type ErasureStep = { subjects: string[] }

/**
 * Carries out the erasures that are due: in the rows that wait, then in ClickHouse, until none is left that holds
 * anything. It may be interrupted anywhere, and is gone on with. Answers how many people were erased.
 * @throws dependency.away (503)
 */
export async function eraseDue(deps: ChainDeps, logId: string): Promise<number> {
  const erased = await atTask<ErasureStep, number>(deps, 'erasure', async (task) => {
    // What a backup knows of erasures is of the moment at which it began: only those that it has a record of go on
    // while it reads.
    if (!task.step) await task.record(nextDue, { exclusive: true })
    if (!task.step) return 0
    const { subjects } = task.step
    await settleLeft(deps, logId)
    await erasePending(deps, new Set(subjects))
    await eraseStored(deps.audit, subjects)
    await task.record(async (tx) => {
      await tx.update(auditErasures).set({ doneAt: deps.clock.now() }).where(inArray(auditErasures.subject, subjects))
      await recordAudit(
        tx,
        subjects.map((subject) => systemAudit('audit.personErased', systemActor, subject, {})),
      )
      return null
    })
    return subjects.length
  })
  return erased ?? 0
}

async function nextDue(tx: Transaction): Promise<ErasureStep | null> {
  const due = await tx
    .select({ subject: auditErasures.subject })
    .from(auditErasures)
    .where(isNull(auditErasures.doneAt))
    .orderBy(asc(auditErasures.at))
    .limit(AT_ONCE)
  return due.length === 0 ? null : { subjects: due.map(({ subject }) => subject) }
}

/** The rows that wait must not bring back what is removed. */
async function erasePending({ db, keyring }: ChainDeps, subjects: Set<string>): Promise<void> {
  const waiting = await db.select({ number: auditPending.number }).from(auditPending)
  for (const { number } of waiting) {
    await db.transaction(async (tx) => {
      await lockChain(tx)
      const [pending] = await tx.select().from(auditPending).where(eq(auditPending.number, number)).for('update')
      if (!pending) return
      const rows = await openLines(keyring, pending)
      if (!rows.some((row) => isWhere(row, subjects) || isAbout(row, subjects))) return
      const erased = rows.map((row) => eraseRow(row, subjects))
      await tx
        .update(auditPending)
        .set(sealLines(keyring, number, linesOf(erased)))
        .where(eq(auditPending.number, number))
    })
  }
}

function eraseRow(row: ChainedRow, subjects: Set<string>): ChainedRow {
  return {
    ...row,
    ...(isWhere(row, subjects) && row.origin_salt !== '' && eraseOrigin(row)),
    ...(isAbout(row, subjects) && row.personal_salt !== '' && erasePersonal(row)),
  }
}

async function eraseStored(audit: Audit, subjects: string[]): Promise<void> {
  const params = { subjects }
  await fromAudit(
    audit.mutate({
      sql: `ALTER TABLE events UPDATE origin_hash = ${commitment('origin_salt', 'address', 'user_agent')},
        origin_salt = '', address = NULL, user_agent = NULL WHERE ${WHERE_ORIGIN}`,
      params,
    }),
  )
  await fromAudit(
    audit.mutate({
      sql: `ALTER TABLE events UPDATE personal_hash = ${commitment('personal_salt', 'personal', 'reason')},
        personal_salt = '', personal = '', reason = NULL WHERE ${WHERE_PERSONAL}`,
      params,
    }),
  )
}

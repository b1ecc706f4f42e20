import { type Audit, type ChainedRow, engineUptime, storedIndices } from '@conntext/db-audit'
import { auditBatches, auditPending, type ServerDetails, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { and, asc, eq, getTableColumns, isNotNull, isNull, lt } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'
import { auditErrors, fromAudit } from '../errors.ts'
import { type Batch, linesOf, openLines } from './append.ts'

type Deps = { db: ServerDetails; audit: Audit; keyring: Keyring; clock: Clock; log: Logger }

/**
 * ClickHouse acknowledges before its files are on the disk; Linux writes them out within half a minute or so. Rows are
 * kept until the engine that acknowledged them has been up for this long since.
 */
const KEEP_MS = 10 * 60_000

/**
 * By what it holds, not by its number alone: a Postgres that is put back to an earlier moment gives numbers out again, and
 * to the engine another batch under a token that it knows would be a repetition.
 */
const tokenOf = (logId: string, { number, root }: Pick<Batch, 'number' | 'root'>): string =>
  `audit-batch:${logId}:${number}:${Buffer.from(root).toString('hex')}`

/** Gives ClickHouse a batch that was just made. @throws dependency.away (503) */
export async function deliver(deps: Deps, logId: string, batch: Batch): Promise<void> {
  await fromAudit(deps.audit.insertText('events', batch.lines, tokenOf(logId, batch)))
  await acknowledge(deps.db, deps.clock, batch.number)
}

/**
 * Gives ClickHouse what it may not have of these batches: whoever made them died in between, or it was away. One at a
 * time for each batch: what two find missing at the same moment would be stored twice.
 * @throws dependency.away (503)
 */
export async function settle(deps: Deps, logId: string, numbers: number[]): Promise<void> {
  const { db, clock, keyring } = deps
  for (const number of numbers) {
    await db.transaction(async (tx) => {
      const pending = await lockPending(tx, number)
      if (!pending || pending.acknowledgedAt) return
      await complete(deps, await openLines(keyring, pending), number, tokenOf(logId, pending))
      await acknowledge(tx, clock, number)
    })
  }
}

/** Rows that wait are looked after, or changed, by one alone. */
async function lockPending(tx: Transaction, number: number) {
  const [row] = await tx
    .select({ ...getTableColumns(auditPending), root: auditBatches.root })
    .from(auditPending)
    .innerJoin(auditBatches, eq(auditBatches.number, auditPending.number))
    .where(eq(auditPending.number, number))
    .for('update', { of: auditPending })
  return row
}

async function complete(deps: Deps, rows: ChainedRow[], number: number, token: string): Promise<void> {
  const missing = await missingOf(deps.audit, rows, number)
  if (missing.length === 0) return
  await fromAudit(deps.audit.insertText('events', linesOf(missing), token))
  const still = await missingOf(deps.audit, rows, number)
  if (still.length === 0) return
  // The engine remembers an insert of which a power cut has taken the rows.
  await fromAudit(deps.audit.insertText('events', linesOf(still), `${token}:${newId()}`))
  const lost = await missingOf(deps.audit, rows, number)
  if (lost.length > 0) throw auditErrors.notKept(`ClickHouse does not keep ${lost.length} rows of batch ${number}.`)
}

async function missingOf(audit: Audit, rows: ChainedRow[], number: number): Promise<ChainedRow[]> {
  const stored = await fromAudit(storedIndices(audit, number))
  return rows.filter((row) => !stored.has(row.batch_index))
}

const acknowledge = async (db: ServerDetailsExecutor, clock: Clock, number: number): Promise<void> =>
  void (await db.update(auditPending).set({ acknowledgedAt: clock.now() }).where(eq(auditPending.number, number)))

/** Batches that nobody has seen through to their end: they are given to ClickHouse. */
export async function settleLeft(deps: Deps, logId: string): Promise<void> {
  const rows = await deps.db
    .select({ number: auditPending.number })
    .from(auditPending)
    .where(isNull(auditPending.acknowledgedAt))
    .orderBy(asc(auditPending.number))
  await settle(
    deps,
    logId,
    rows.map(({ number }) => number),
  )
}

/**
 * Looks after rows that ClickHouse has acknowledged: when the engine has been started anew since, what it lost is
 * inserted again; when it has been up for long enough, they are let go.
 */
export async function keepWatch(deps: Deps): Promise<void> {
  const { db, audit, clock, log, keyring } = deps
  const now = clock.now().getTime()
  const startedAt = new Date(now - (await fromAudit(engineUptime(audit))) * 1000)
  const suspect = await db
    .select({ number: auditPending.number })
    .from(auditPending)
    .where(and(isNotNull(auditPending.acknowledgedAt), lt(auditPending.acknowledgedAt, startedAt)))
    .orderBy(asc(auditPending.number))
  for (const { number } of suspect) {
    await db.transaction(async (tx) => {
      const pending = await lockPending(tx, number)
      // Another instance has looked meanwhile.
      if (!pending?.acknowledgedAt || pending.acknowledgedAt >= startedAt) return
      const rows = await openLines(keyring, pending)
      const missing = (await missingOf(audit, rows, number)).length
      if (missing > 0) {
        log.warn({ batch: number, rows: missing }, 'ClickHouse had lost audit events that it had acknowledged')
        await complete(deps, rows, number, `audit-again:${newId()}`)
      }
      await acknowledge(tx, clock, number)
    })
  }
  const safe = new Date(now - KEEP_MS)
  await db.delete(auditPending).where(lt(auditPending.acknowledgedAt, safe))
}

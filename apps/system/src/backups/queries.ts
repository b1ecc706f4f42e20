import type { Backup } from '@conntext/contracts'
import { backups, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { and, desc, eq, inArray, lt, not, sql } from 'drizzle-orm'
import { announceWork } from '../work.ts'

export type BackupRow = typeof backups.$inferSelect

/** Whoever makes a backup and doesn't say so for so long is gone. */
const GONE = sql`interval '1 minute'`

export const toBackup = (row: BackupRow): Backup => ({
  id: row.id,
  state: row.state,
  trigger: row.trigger,
  askedBy: row.askedBy,
  logs: row.logs,
  name: row.name,
  size: row.size,
  sha256: row.sha256,
  doneBytes: row.doneBytes,
  totalBytes: row.totalBytes,
  rows: row.rows,
  objects: row.objects,
  missingObjects: row.missingObjects,
  error: row.error,
  createdAt: row.createdAt.toISOString(),
  finishedAt: row.finishedAt?.toISOString() ?? null,
})

/** Until the transaction ends nobody else asks for a backup, takes one up or deletes one. */
export const lockBackups = (tx: ServerDetailsExecutor) =>
  tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('backups', 0))`)

/** Such as `conntext-20260301-120000-1a2b3c4d.tar.age`. */
const nameOf = (id: string, at: Date): string =>
  `conntext-${at.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}-${id.slice(-8)}.tar.age`

/** Asks for one: every instance hears of it. */
export async function insertBackup(
  tx: ServerDetailsExecutor,
  { now, ...asked }: Pick<BackupRow, 'trigger' | 'askedBy' | 'logs'> & { now: Date },
): Promise<BackupRow> {
  const id = newId()
  const [row] = await tx
    .insert(backups)
    .values({ id, state: 'waiting', name: nameOf(id, now), createdAt: now, ...asked })
    .returning()
  await announceWork(tx, 'backups')
  return row!
}

export const listBackupRows = (
  db: ServerDetailsExecutor,
  { limit, after }: { limit: number; after: string | undefined },
): Promise<BackupRow[]> =>
  db
    .select()
    .from(backups)
    .where(after === undefined ? undefined : lt(backups.id, after))
    .orderBy(desc(backups.id))
    .limit(limit + 1)

export async function findBackup(db: ServerDetailsExecutor, id: string): Promise<BackupRow | undefined> {
  const [row] = await db.select().from(backups).where(eq(backups.id, id))
  return row
}

export const openBackups = (db: ServerDetailsExecutor): Promise<BackupRow[]> =>
  db
    .select()
    .from(backups)
    .where(inArray(backups.state, ['waiting', 'running']))

/** Those that somebody began and is gone from. Under the lock. */
export const leftBackups = (tx: ServerDetailsExecutor): Promise<BackupRow[]> =>
  tx
    .select()
    .from(backups)
    .where(and(eq(backups.state, 'running'), sql`${backups.updatedAt} < now() - ${GONE}`))

/** The next that waits, which is the caller's from now on; none while another is being made. Under the lock. */
export async function claimBackup(tx: ServerDetailsExecutor): Promise<BackupRow | undefined> {
  const open = await openBackups(tx)
  if (open.some(({ state }) => state === 'running')) return undefined
  const [next] = open.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  if (!next) return undefined
  await tx.update(backups).set({ state: 'running', updatedAt: sql`now()` }).where(eq(backups.id, next.id))
  return next
}

/** Of one that is being made; answers whether it still is: somebody may have deleted it, or taken its maker for gone. */
export async function setRunning(db: ServerDetailsExecutor, id: string, values: Partial<BackupRow>): Promise<boolean> {
  const changed = await db
    .update(backups)
    .set({ ...values, updatedAt: sql`now()` })
    .where(and(eq(backups.id, id), eq(backups.state, 'running')))
    .returning({ id: backups.id })
  return changed.length > 0
}

// By how much the clocks of instances may differ.
const SKEW_MS = 60_000

/** Made while a clock was ahead: neither the next one nor what is kept may go by it. */
const isFromTheFuture = (now: Date) =>
  sql`${backups.createdAt} > ${new Date(now.getTime() + SKEW_MS).toISOString()}::timestamptz`

/** The latest of those states, or of that trigger. */
export async function latestBackup(
  db: ServerDetailsExecutor,
  of: { now: Date; states?: BackupRow['state'][]; trigger?: BackupRow['trigger'] },
): Promise<BackupRow | undefined> {
  const [row] = await db
    .select()
    .from(backups)
    .where(
      and(
        not(isFromTheFuture(of.now)),
        of.states && inArray(backups.state, of.states),
        of.trigger === undefined ? undefined : eq(backups.trigger, of.trigger),
      ),
    )
    .orderBy(desc(backups.id))
    .limit(1)
  return row
}

/** The scheduled ones beyond those that are kept, oldest first. */
export async function surplusBackups(
  db: ServerDetailsExecutor,
  { keep, now }: { keep: number; now: Date },
): Promise<BackupRow[]> {
  const rows = await db
    .select()
    .from(backups)
    .where(and(eq(backups.state, 'done'), eq(backups.trigger, 'scheduled')))
    .orderBy(isFromTheFuture(now), desc(backups.id))
    .offset(keep)
  return rows.reverse()
}

/** What could not be made long ago is of no use to anybody: there is no file of it. */
export const removeOldFailures = (db: ServerDetailsExecutor, before: Date) =>
  db.delete(backups).where(and(eq(backups.state, 'failed'), lt(backups.createdAt, before)))

export async function removeBackup(tx: ServerDetailsExecutor, id: string): Promise<boolean> {
  const removed = await tx.delete(backups).where(eq(backups.id, id)).returning({ id: backups.id })
  return removed.length > 0
}

import {
  type Communications,
  type CommunicationsExecutor,
  deletedAuthors,
  mediaUploads,
} from '@conntext/db-communications'
import { and, asc, count, eq, gt, inArray, isNull, lt, or } from 'drizzle-orm'
import { owe } from '../media/removal.ts'
import { changeUsage, type Quotas } from '../media/usage.ts'
import type { Transaction } from '../streams/writer.ts'

export type UploadRow = typeof mediaUploads.$inferSelect
type NewUpload = Omit<UploadRow, 'finishedAt' | 'lease' | 'leasedUntil' | 'wanted'>

/** The outbox topic for uploads whose rows are gone: their bytes follow. */
export const UPLOAD_ABORT = 'uploadAbort'
export type UploadAbort = { key: string; handle: string }

const AT_ONCE = 100

/**
 * Begins an upload, and sets aside what it will take. Answers whether it may be: `gone` where its owner's account is.
 * Where it may not, nothing may be committed.
 * @throws media.quotaExceeded (409)
 */
export async function insertUpload(
  tx: Transaction,
  row: NewUpload,
  { quotas, most }: { quotas: Quotas; most: number },
): Promise<'begun' | 'gone' | 'tooMany'> {
  const { ownerId, size } = row
  // First: after it, nobody else counts.
  await changeUsage(tx, [{ ownerId, reserved: size }], quotas)
  const [begun] = await tx
    .select({ count: count() })
    .from(mediaUploads)
    .where(and(eq(mediaUploads.ownerId, ownerId), isNull(mediaUploads.finishedAt)))
  if (begun!.count >= most) return 'tooMany'
  await tx.insert(mediaUploads).values(row)
  // In this order: whoever gives up what somebody has left waits for writers, and then finds the row.
  const gone = await tx.select().from(deletedAuthors).where(eq(deletedAuthors.userId, ownerId))
  return gone.length > 0 ? 'gone' : 'begun'
}

/** Somebody's upload that has not expired. */
export async function findUpload(
  db: CommunicationsExecutor,
  { id, ownerId, now }: { id: string; ownerId: string; now: Date },
): Promise<UploadRow | undefined> {
  const own = and(eq(mediaUploads.id, id), eq(mediaUploads.ownerId, ownerId), gt(mediaUploads.expiresAt, now))
  const [row] = await db.select().from(mediaUploads).where(own)
  return row
}

export async function postponeExpiry(db: CommunicationsExecutor, id: string, expiresAt: Date): Promise<void> {
  await db.update(mediaUploads).set({ expiresAt }).where(eq(mediaUploads.id, id))
}

/** Notes that an upload is a file now, which takes what was set aside. Answers whether it was none before. */
export async function finishUpload(tx: Transaction, row: UploadRow, finishedAt: Date): Promise<boolean> {
  const finished = await tx
    .update(mediaUploads)
    .set({ finishedAt })
    .where(and(eq(mediaUploads.id, row.id), isNull(mediaUploads.finishedAt)))
    .returning({ id: mediaUploads.id })
  if (finished.length === 0) return false
  await changeUsage(tx, [{ ownerId: row.ownerId, reserved: -row.size }])
  return true
}

/** Gives uploads up, and owes the deletion of what has arrived of those that are not files yet. */
export async function dropUploads(tx: Transaction, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  const dropped = await tx.delete(mediaUploads).where(inArray(mediaUploads.id, ids)).returning()
  const unfinished = dropped.filter((row) => row.finishedAt === null)
  await changeUsage(
    tx,
    unfinished.map(({ ownerId, size }) => ({ ownerId, reserved: -size })),
  )
  const owed = unfinished.map(({ objectKey: key, handle }): UploadAbort => ({ key, handle }))
  await owe(tx, UPLOAD_ABORT, owed)
}

/** Gives up what has expired, but for what is being added to at this moment. */
export async function dropExpiredUploads(db: Communications, now: Date): Promise<void> {
  const expired = and(
    lt(mediaUploads.expiresAt, now),
    or(isNull(mediaUploads.leasedUntil), lt(mediaUploads.leasedUntil, now)),
  )
  await dropAll(db, expired)
}

/** Gives up all that somebody who is gone has begun. */
export const dropUploadsOf = (db: Communications, ownerId: string): Promise<void> =>
  dropAll(db, eq(mediaUploads.ownerId, ownerId))

async function dropAll(db: Communications, which: ReturnType<typeof and>): Promise<void> {
  const dropSome = () =>
    db.transaction(async (tx) => {
      const rows = await tx
        .select({ id: mediaUploads.id })
        .from(mediaUploads)
        .where(which)
        .orderBy(asc(mediaUploads.id))
        .limit(AT_ONCE)
        .for('update', { skipLocked: true })
      const ids = rows.map((row) => row.id)
      await dropUploads(tx, ids)
      return ids.length
    })
  while ((await dropSome()) === AT_ONCE);
}

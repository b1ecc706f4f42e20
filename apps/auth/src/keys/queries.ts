import { type ServerDetailsExecutor, signingKeys } from '@conntext/db-server-details'
import { asc, gt, isNull, lt, or } from 'drizzle-orm'

export type SigningKeyRow = typeof signingKeys.$inferSelect

const notRetiredBefore = (moment: Date) => or(isNull(signingKeys.retiredAt), gt(signingKeys.retiredAt, moment))

export const listPublicKeys = (db: ServerDetailsExecutor, notRetiredSince: Date) =>
  db
    .select({ id: signingKeys.id, publicKey: signingKeys.publicKey })
    .from(signingKeys)
    .where(notRetiredBefore(notRetiredSince))
    .orderBy(asc(signingKeys.createdAt))

/** Oldest first. */
export const listLivingSigningKeys = (db: ServerDetailsExecutor, now: Date): Promise<SigningKeyRow[]> =>
  db.select().from(signingKeys).where(notRetiredBefore(now)).orderBy(asc(signingKeys.createdAt))

export async function insertSigningKey(db: ServerDetailsExecutor, row: typeof signingKeys.$inferInsert): Promise<void> {
  await db.insert(signingKeys).values(row)
}

/** Of several rotations in a row the first one's time stands. */
export async function retireSigningKeys(db: ServerDetailsExecutor, at: Date): Promise<void> {
  await db.update(signingKeys).set({ retiredAt: at }).where(isNull(signingKeys.retiredAt))
}

export async function deleteSigningKeys(db: ServerDetailsExecutor, retiredBefore: Date): Promise<void> {
  await db.delete(signingKeys).where(lt(signingKeys.retiredAt, retiredBefore))
}

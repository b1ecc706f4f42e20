import { recoveryCodes, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { and, count, eq, isNull } from 'drizzle-orm'

export async function countRecoveryCodes(db: ServerDetailsExecutor, userId: string): Promise<number> {
  const [row] = await db
    .select({ left: count() })
    .from(recoveryCodes)
    .where(and(eq(recoveryCodes.userId, userId), isNull(recoveryCodes.usedAt)))
  return row!.left
}

/** Uses a code up; of any number who try at once, one gets it. */
export async function takeRecoveryCode(
  tx: ServerDetailsExecutor,
  { hash, userId, now }: { hash: Uint8Array; userId: string; now: Date },
): Promise<boolean> {
  const taken = await tx
    .update(recoveryCodes)
    .set({ usedAt: now })
    .where(and(eq(recoveryCodes.hash, hash), eq(recoveryCodes.userId, userId), isNull(recoveryCodes.usedAt)))
    .returning({ userId: recoveryCodes.userId })
  return taken.length > 0
}

/** A new set; none of the old ones works any more. With no hashes: none at all. */
export async function replaceRecoveryCodes(
  tx: ServerDetailsExecutor,
  { userId, hashes, now }: { userId: string; hashes: Uint8Array[]; now: Date },
): Promise<void> {
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.userId, userId))
  if (hashes.length > 0) await tx.insert(recoveryCodes).values(hashes.map((hash) => ({ hash, userId, createdAt: now })))
}

import { type ServerDetailsExecutor, totpSecrets } from '@conntext/db-server-details'
import { and, eq, isNotNull, isNull, lt, or } from 'drizzle-orm'

export type TotpRow = typeof totpSecrets.$inferSelect

/** Confirmed or not. */
export async function findTotp(db: ServerDetailsExecutor, userId: string): Promise<TotpRow | undefined> {
  const [row] = await db.select().from(totpSecrets).where(eq(totpSecrets.userId, userId))
  return row
}

/** Takes a time step of a confirmed secret; of any number who try with it or an earlier one, one gets it. */
export async function takeTotpStep(tx: ServerDetailsExecutor, userId: string, step: number): Promise<boolean> {
  const taken = await tx
    .update(totpSecrets)
    .set({ lastStep: step })
    .where(
      and(
        eq(totpSecrets.userId, userId),
        isNotNull(totpSecrets.confirmedAt),
        or(isNull(totpSecrets.lastStep), lt(totpSecrets.lastStep, step)),
      ),
    )
    .returning({ userId: totpSecrets.userId })
  return taken.length > 0
}

/** A secret that counts for nothing yet, in the place of one that was never confirmed. */
export async function putPendingTotp(
  tx: ServerDetailsExecutor,
  row: Pick<TotpRow, 'userId' | 'secret' | 'dataKeyId' | 'createdAt'>,
): Promise<void> {
  const { userId: _, ...values } = row
  await tx
    .insert(totpSecrets)
    .values(row)
    .onConflictDoUpdate({
      target: totpSecrets.userId,
      set: { ...values, lastStep: null },
      setWhere: isNull(totpSecrets.confirmedAt),
    })
}

/** From now on it counts, but not the code that it was confirmed with. */
export async function confirmTotp(
  tx: ServerDetailsExecutor,
  { userId, step, now }: { userId: string; step: number; now: Date },
): Promise<void> {
  await tx.update(totpSecrets).set({ confirmedAt: now, lastStep: step }).where(eq(totpSecrets.userId, userId))
}

/** Deletes a confirmed secret; answers whether there was one. */
export async function deleteTotp(tx: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const deleted = await tx
    .delete(totpSecrets)
    .where(and(eq(totpSecrets.userId, userId), isNotNull(totpSecrets.confirmedAt)))
    .returning({ userId: totpSecrets.userId })
  return deleted.length > 0
}

/** Forgets those that nobody confirmed. */
export async function prunePendingTotp(db: ServerDetailsExecutor, createdBefore: Date): Promise<void> {
  await db.delete(totpSecrets).where(and(isNull(totpSecrets.confirmedAt), lt(totpSecrets.createdAt, createdBefore)))
}

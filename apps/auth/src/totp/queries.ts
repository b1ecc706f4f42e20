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

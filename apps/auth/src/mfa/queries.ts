import { passkeys, type ServerDetailsExecutor, totpSecrets, users } from '@conntext/db-server-details'
import { and, count, eq, isNotNull } from 'drizzle-orm'

/** The account's row, which nobody else changes until the transaction ends: its factors come and go one at a time. */
export async function lockAccount(tx: ServerDetailsExecutor, userId: string) {
  const [row] = await tx
    .select({
      username: users.username,
      displayName: users.displayName,
      email: users.email,
      standing: users.standing,
    })
    .from(users)
    .where(eq(users.id, userId))
    .for('no key update')
  return row
}
export type LockedAccount = NonNullable<Awaited<ReturnType<typeof lockAccount>>>

export async function hasTotp(db: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const found = await db
    .select({ userId: totpSecrets.userId })
    .from(totpSecrets)
    .where(and(eq(totpSecrets.userId, userId), isNotNull(totpSecrets.confirmedAt)))
  return found.length > 0
}

export async function countPasskeys(db: ServerDetailsExecutor, userId: string): Promise<number> {
  const [row] = await db.select({ number: count() }).from(passkeys).where(eq(passkeys.userId, userId))
  return row!.number
}

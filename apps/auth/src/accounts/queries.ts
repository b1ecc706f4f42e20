import {
  authorityState,
  passkeys,
  recoveryCodes,
  type ServerDetailsExecutor,
  totpSecrets,
  users,
} from '@conntext/db-server-details'
import { and, asc, eq, gt, ne, sql } from 'drizzle-orm'
import { usernameKey } from '../users/users.ts'

/** Whoever has the user name, in any standing; their row stays as it is until the transaction ends. */
export async function lockAccountByName(tx: ServerDetailsExecutor, username: string) {
  const [row] = await tx
    .select({ id: users.id, username: users.username, kind: users.kind, standing: users.standing, email: users.email })
    .from(users)
    .where(eq(users.usernameKey, usernameKey(username)))
    .for('no key update')
  return row
}

/** Takes every second factor from an account; answers what there was. */
export async function deleteFactors(tx: ServerDetailsExecutor, userId: string) {
  const totp = await tx
    .delete(totpSecrets)
    .where(eq(totpSecrets.userId, userId))
    .returning({ confirmedAt: totpSecrets.confirmedAt })
  const keys = await tx.delete(passkeys).where(eq(passkeys.userId, userId)).returning({ id: passkeys.id })
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.userId, userId))
  return { totp: totp.some(({ confirmedAt }) => confirmedAt !== null), passkeyIds: keys.map(({ id }) => id) }
}

export type ListedAccount = {
  id: string
  username: string
  kind: 'user' | 'bot'
  standing: string
  isOwner: boolean
  createdAt: Date
}

/** The accounts after that one, in the order of their ids, which is that of their making; without deleted ones. */
export const listAccounts = (
  db: ServerDetailsExecutor,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<ListedAccount[]> =>
  db
    .select({
      id: users.id,
      username: users.username,
      kind: users.kind,
      standing: users.standing,
      isOwner: sql<boolean>`${authorityState.ownerId} is not null`,
      createdAt: users.createdAt,
    })
    .from(users)
    .leftJoin(authorityState, eq(authorityState.ownerId, users.id))
    .where(and(ne(users.standing, 'deleted'), after === undefined ? undefined : gt(users.id, after)))
    .orderBy(asc(users.id))
    .limit(limit)

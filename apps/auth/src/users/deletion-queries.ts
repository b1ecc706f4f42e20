import {
  bans,
  credentials,
  identities,
  memberRoles,
  passkeys,
  recoveryCodes,
  type ServerDetailsExecutor,
  totpSecrets,
  users,
  validationTokens,
} from '@conntext/db-server-details'
import { and, asc, eq, ne } from 'drizzle-orm'
import { type UserRow, userColumns } from './queries.ts'
import { DELETED_USERNAME } from './users.ts'

// What an account holds beside itself; its sessions and API tokens end by themselves, for others have to hear of that.
const HOLDINGS = [credentials, totpSecrets, recoveryCodes, passkeys, identities, validationTokens, memberRoles, bans]

/** An account that isn't gone yet; nobody else changes it until the transaction ends. */
export async function lockAccount(tx: ServerDetailsExecutor, id: string): Promise<UserRow | undefined> {
  const [row] = await tx
    .select(userColumns)
    .from(users)
    .where(and(eq(users.id, id), ne(users.standing, 'deleted')))
    .for('no key update')
  return row
}

/** Leaves of an account nothing but its id; its names are free again. */
export async function eraseAccountRow(tx: ServerDetailsExecutor, id: string): Promise<UserRow> {
  for (const table of HOLDINGS) await tx.delete(table).where(eq(table.userId, id))
  // No name has a colon.
  const unique = `deleted:${id}`
  const [row] = await tx
    .update(users)
    .set({
      standing: 'deleted',
      username: DELETED_USERNAME,
      usernameKey: unique,
      usernameSkeleton: unique,
      displayName: null,
      nickname: null,
      email: null,
      emailKey: null,
      emailVerifiedAt: null,
      avatarId: null,
      statusText: null,
      statusEmoji: null,
      statusExpiresAt: null,
      timedOutUntil: null,
    })
    .where(eq(users.id, id))
    .returning(userColumns)
  return row!
}

export async function listBotIdsOf(tx: ServerDetailsExecutor, userId: string): Promise<string[]> {
  const rows = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.createdBy, userId), eq(users.kind, 'bot'), ne(users.standing, 'deleted')))
    .orderBy(asc(users.id))
  return rows.map((row) => row.id)
}

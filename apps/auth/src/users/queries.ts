import {
  authorityState,
  credentials,
  passkeys,
  type ServerDetailsExecutor,
  totpSecrets,
  users,
} from '@conntext/db-server-details'
import { and, eq, inArray, ne, sql } from 'drizzle-orm'
import { usernameKey } from './users.ts'

export const userColumns = {
  id: users.id,
  kind: users.kind,
  standing: users.standing,
  username: users.username,
  displayName: users.displayName,
  avatarId: users.avatarId,
  statusText: users.statusText,
  statusEmoji: users.statusEmoji,
  statusExpiresAt: users.statusExpiresAt,
  createdAt: users.createdAt,
}
export type UserRow = Pick<typeof users.$inferSelect, keyof typeof userColumns>

/** Whether the account has a second factor; for a select from `users`. */
export const hasMfa = sql<boolean>`(
  exists (select from ${totpSecrets} where user_id = users.id and confirmed_at is not null)
  or exists (select from ${passkeys} where user_id = users.id))`

const ownColumns = {
  ...userColumns,
  email: users.email,
  emailVerifiedAt: users.emailVerifiedAt,
  hasPassword: sql<boolean>`exists (select from ${credentials} where user_id = users.id)`,
  mfaEnabled: hasMfa,
  isOwner: sql<boolean>`exists (select from ${authorityState} where owner_id = users.id)`,
}

export type OwnUserRow = UserRow & {
  email: string | null
  emailVerifiedAt: Date | null
  hasPassword: boolean
  mfaEnabled: boolean
  isOwner: boolean
}

/** Whoever has ever had an account here; of a deleted one there is nothing left but its id. */
export async function findUser(db: ServerDetailsExecutor, id: string): Promise<UserRow | undefined> {
  const [row] = await db.select(userColumns).from(users).where(eq(users.id, id))
  return row
}

/** Those who go by these names, in any case; of a deleted account the name is gone. */
export async function findByUsernames(
  db: ServerDetailsExecutor,
  usernames: string[],
): Promise<{ id: string; username: string }[]> {
  // A name may hold what no text of the database can; nobody goes by it.
  const keys = usernames.filter((name) => !name.includes('\0')).map(usernameKey)
  if (keys.length === 0) return []
  return db
    .select({ id: users.id, username: users.username })
    .from(users)
    .where(and(inArray(users.usernameKey, keys), ne(users.standing, 'deleted')))
}

const hasAccount = inArray(users.standing, ['active', 'left'])

/** The account of somebody who may use it: a member, or who has left. */
export async function findOwnUser(db: ServerDetailsExecutor, id: string): Promise<OwnUserRow | undefined> {
  const [row] = await db
    .select(ownColumns)
    .from(users)
    .where(and(eq(users.id, id), hasAccount))
  return row
}

/** Nobody else changes the account, or opens a session for it, until the transaction ends. */
export async function lockUser(tx: ServerDetailsExecutor, id: string): Promise<void> {
  await tx.select({ id: users.id }).from(users).where(eq(users.id, id)).for('no key update')
}

/** As `findOwnUser`, and nobody else changes it until the transaction ends. */
export async function lockOwnUser(tx: ServerDetailsExecutor, id: string): Promise<OwnUserRow | undefined> {
  const [row] = await tx
    .select(ownColumns)
    .from(users)
    .where(and(eq(users.id, id), hasAccount))
    .for('no key update')
  return row
}

export async function updateUser(
  tx: ServerDetailsExecutor,
  id: string,
  values: Partial<typeof users.$inferInsert>,
): Promise<void> {
  await tx.update(users).set(values).where(eq(users.id, id))
}

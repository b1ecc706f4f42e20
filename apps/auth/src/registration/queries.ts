import {
  authorityState,
  credentials,
  memberRoles,
  roles,
  type ServerDetailsExecutor,
  users,
} from '@conntext/db-server-details'
import { and, eq, isNull, or, type SQL, sql } from 'drizzle-orm'
import { STATE_ID } from '../authority/queries.ts'
import { type UserRow, userColumns } from '../users/queries.ts'
import { emailKey, usernameKey, usernameSkeleton } from '../users/users.ts'

const isTaken = async (db: ServerDetailsExecutor, by: SQL | undefined) =>
  (await db.select({ id: users.id }).from(users).where(by).limit(1)).length > 0

/** Whether somebody has the name, or one that looks like it. */
export const isUsernameTaken = (db: ServerDetailsExecutor, name: string) =>
  isTaken(db, or(eq(users.usernameKey, usernameKey(name)), eq(users.usernameSkeleton, usernameSkeleton(name))))

export const isEmailTaken = (db: ServerDetailsExecutor, email: string) =>
  isTaken(db, eq(users.emailKey, emailKey(email)))

export async function insertAccount(
  tx: ServerDetailsExecutor,
  { passwordHash, ...user }: typeof users.$inferInsert & { passwordHash: string | null },
): Promise<UserRow> {
  const [row] = await tx.insert(users).values(user).returning(userColumns)
  if (passwordHash !== null) await tx.insert(credentials).values({ userId: user.id, passwordHash })
  return row!
}

/** Makes the user the server's owner, unless it has one; answers whether it did. */
export async function claimServer(tx: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const rows = await tx
    .update(authorityState)
    .set({ ownerId: userId, version: sql`${authorityState.version} + 1` })
    .where(and(eq(authorityState.id, STATE_ID), isNull(authorityState.ownerId)))
    .returning({ id: authorityState.id })
  return rows.length > 0
}

/** Gives the role, unless it has been deleted meanwhile; answers whether it did. */
export async function giveRoleIfThere(tx: ServerDetailsExecutor, userId: string, roleId: string): Promise<boolean> {
  const [role] = await tx
    .select({ id: roles.id })
    .from(roles)
    .where(and(eq(roles.id, roleId), eq(roles.isEveryone, false)))
    .for('key share')
  if (role) await tx.insert(memberRoles).values({ userId, roleId })
  return role !== undefined
}

export async function isMember(db: ServerDetailsExecutor, id: string): Promise<boolean> {
  const rows = await db
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, id), eq(users.standing, 'active')))
  return rows.length > 0
}

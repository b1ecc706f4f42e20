import { authorityState, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, eq, ne, sql } from 'drizzle-orm'

export type UserRow = { id: string; username: string; displayName: string | null; createdAt: Date }
export type OwnUserRow = UserRow & { email: string | null; isOwner: boolean }

export const userColumns = {
  id: users.id,
  username: users.username,
  displayName: users.displayName,
  createdAt: users.createdAt,
}

const ownColumns = {
  ...userColumns,
  email: users.email,
  isOwner: sql<boolean>`exists (select from ${authorityState} where owner_id = users.id)`,
}

/** Whoever wrote something here once, gone or not; but not a deleted account. */
export async function findUser(db: ServerDetailsExecutor, id: string): Promise<UserRow | undefined> {
  const [row] = await db
    .select(userColumns)
    .from(users)
    .where(and(eq(users.id, id), ne(users.standing, 'deleted')))
  return row
}

/** The account of somebody who may use it. */
export async function findOwnUser(db: ServerDetailsExecutor, id: string): Promise<OwnUserRow | undefined> {
  const [row] = await db
    .select(ownColumns)
    .from(users)
    .where(and(eq(users.id, id), eq(users.standing, 'active')))
  return row
}

/** As `findOwnUser`, and nobody else changes it until the transaction ends. */
export async function lockOwnUser(tx: ServerDetailsExecutor, id: string): Promise<OwnUserRow | undefined> {
  const [row] = await tx
    .select(ownColumns)
    .from(users)
    .where(and(eq(users.id, id), eq(users.standing, 'active')))
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

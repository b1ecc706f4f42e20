import { bans, memberRoles, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, desc, eq, lte, sql } from 'drizzle-orm'
import { type UserRow, userColumns } from '../users/queries.ts'

export type BanRow = typeof bans.$inferSelect

/** The ban of somebody who is banned now: one whose time is over holds until it is ended. */
export async function banOf(db: ServerDetailsExecutor, userId: string): Promise<BanRow | undefined> {
  const [row] = await db.select().from(bans).where(eq(bans.userId, userId))
  return row
}

const withUser = (db: ServerDetailsExecutor) =>
  db.select({ ban: bans, user: userColumns }).from(bans).innerJoin(users, eq(users.id, bans.userId))

export type BannedRow = { ban: BanRow; user: UserRow }

/** Where a page ended: the last ban's time in milliseconds, and whose it was. */
export type BanPosition = { createdAt: number; userId: string }

/** The bans that hold now, newest first. */
export const listBans = (
  db: ServerDetailsExecutor,
  { after, limit }: { after: BanPosition | undefined; limit: number },
): Promise<BannedRow[]> =>
  withUser(db)
    .where(
      after &&
        sql`(${bans.createdAt}, ${bans.userId}) < (${new Date(after.createdAt).toISOString()}::timestamptz, ${after.userId}::uuid)`,
    )
    .orderBy(desc(bans.createdAt), desc(bans.userId))
    .limit(limit)

export async function findBan(db: ServerDetailsExecutor, userId: string): Promise<BannedRow | undefined> {
  const [row] = await withUser(db).where(eq(bans.userId, userId))
  return row
}

export async function insertBan(tx: ServerDetailsExecutor, row: BanRow): Promise<void> {
  await tx.insert(bans).values(row)
}

export async function deleteBan(tx: ServerDetailsExecutor, userId: string): Promise<void> {
  await tx.delete(bans).where(eq(bans.userId, userId))
}

const isOver = (now: Date, userId: string | undefined) =>
  and(lte(bans.expiresAt, now), userId === undefined ? undefined : eq(bans.userId, userId))

/** Whose bans are over but not cleared away, or whether one person's is. */
export async function listOverBans(
  db: ServerDetailsExecutor,
  { now, userId, limit }: { now: Date; userId?: string | undefined; limit: number },
): Promise<string[]> {
  const rows = await db.select({ userId: bans.userId }).from(bans).where(isOver(now, userId)).limit(limit)
  return rows.map((row) => row.userId)
}

/** Takes all roles; answers which they were. */
export async function takeAllRoles(tx: ServerDetailsExecutor, userId: string): Promise<string[]> {
  const rows = await tx
    .delete(memberRoles)
    .where(eq(memberRoles.userId, userId))
    .returning({ roleId: memberRoles.roleId })
  return rows.map((row) => row.roleId)
}

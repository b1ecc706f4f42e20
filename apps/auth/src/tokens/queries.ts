import { apiTokens, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, count, desc, eq, gt, inArray, isNull, lt, not, or, sql } from 'drizzle-orm'

export type ApiTokenRow = typeof apiTokens.$inferSelect

// A use is written down again only when the last one is so old.
const USE_GRANULARITY_MS = 60_000

const unrevoked = isNull(apiTokens.revokedAt)

const living = (now: Date) => and(unrevoked, or(isNull(apiTokens.expiresAt), gt(apiTokens.expiresAt, now)))

/** One that hasn't been revoked; it may have expired. */
export async function findApiToken(db: ServerDetailsExecutor, hash: Uint8Array): Promise<ApiTokenRow | undefined> {
  const [row] = await db
    .select()
    .from(apiTokens)
    .where(and(eq(apiTokens.hash, hash), unrevoked))
  return row
}

/** Notes that it has been used, to the minute. */
export async function touchApiToken(db: ServerDetailsExecutor, { id, lastUsedAt }: ApiTokenRow, at: Date) {
  if (lastUsedAt !== null && at.getTime() - lastUsedAt.getTime() < USE_GRANULARITY_MS) return
  await db.update(apiTokens).set({ lastUsedAt: at }).where(eq(apiTokens.id, id))
}

export async function insertApiToken(
  tx: ServerDetailsExecutor,
  row: Omit<ApiTokenRow, 'lastUsedAt' | 'revokedAt'>,
): Promise<ApiTokenRow> {
  const [inserted] = await tx.insert(apiTokens).values(row).returning()
  return inserted!
}

export async function countLivingApiTokens(tx: ServerDetailsExecutor, userId: string, now: Date): Promise<number> {
  const [row] = await tx
    .select({ count: count() })
    .from(apiTokens)
    .where(and(eq(apiTokens.userId, userId), living(now)))
  return row!.count
}

/** Whose tokens somebody sees and ends: their own and their bots', or their own and all bots'. */
export type Reach = { userId: string; allBots: boolean }

const within = (db: ServerDetailsExecutor, { userId, allBots }: Reach) => {
  const bots = db
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.kind, 'bot'), allBots ? undefined : eq(users.createdBy, userId)))
  return or(eq(apiTokens.userId, userId), inArray(apiTokens.userId, bots))
}

/** Those that can be used, newest first. */
export const listApiTokens = (
  db: ServerDetailsExecutor,
  reach: Reach,
  { now, page }: { now: Date; page: PageRequest },
): Promise<ApiTokenRow[]> =>
  db
    .select()
    .from(apiTokens)
    .where(and(within(db, reach), living(now), page.after ? lt(apiTokens.id, page.after) : undefined))
    .orderBy(desc(apiTokens.id))
    .limit(page.limit + 1)

/** One that can be used, with the kind of its bearer and, for a bot, whose it is. */
export async function findLivingApiToken(db: ServerDetailsExecutor, id: string, now: Date) {
  const [row] = await db
    .select({ token: apiTokens, kind: users.kind, ownerId: users.createdBy })
    .from(apiTokens)
    .innerJoin(users, eq(users.id, apiTokens.userId))
    .where(and(eq(apiTokens.id, id), living(now)))
  return row
}

/** Ends one that can be used; answers whether it did. */
export async function revokeApiToken(tx: ServerDetailsExecutor, id: string, now: Date): Promise<boolean> {
  const rows = await tx
    .update(apiTokens)
    .set({ revokedAt: now })
    .where(and(eq(apiTokens.id, id), living(now)))
    .returning({ id: apiTokens.id })
  return rows.length > 0
}

/** Whether they are a member; they stay one until the transaction ends. */
export async function lockMember(tx: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const rows = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, userId), eq(users.standing, 'active')))
    .for('no key update')
  return rows.length > 0
}

/** Ends all that an account made for others and, unless they are to stay, its own. */
export const revokeApiTokensOf = (
  tx: ServerDetailsExecutor,
  userId: string,
  { now, keepOwn = false }: { now: Date; keepOwn?: boolean },
): Promise<{ id: string; userId: string }[]> => {
  const own = eq(apiTokens.userId, userId)
  const made = eq(apiTokens.createdBy, userId)
  return tx
    .update(apiTokens)
    .set({ revokedAt: now })
    .where(and(keepOwn ? and(made, not(own)) : or(made, own), living(now)))
    .returning({ id: apiTokens.id, userId: apiTokens.userId })
}

/** Those that were ended, rather than ran out. */
export const listRevokedApiTokens = (db: ServerDetailsExecutor, since: Date) =>
  db
    .select({ id: apiTokens.id, revokedAt: apiTokens.revokedAt })
    .from(apiTokens)
    .where(gt(apiTokens.revokedAt, since))
    .orderBy(apiTokens.revokedAt)

/** Deletes up to `limit` that can't be used any more; answers how many. */
export async function pruneApiTokens(
  db: ServerDetailsExecutor,
  { expiredBefore, revokedBefore, limit }: { expiredBefore: Date; revokedBefore: Date; limit: number },
): Promise<number> {
  const over = db
    .select({ id: apiTokens.id })
    .from(apiTokens)
    .where(or(lt(apiTokens.expiresAt, expiredBefore), lt(apiTokens.revokedAt, revokedBefore)))
    .limit(limit)
    .for('update', { skipLocked: true })
  const deleted = await db.delete(apiTokens).where(inArray(apiTokens.id, over)).returning({ one: sql<number>`1` })
  return deleted.length
}

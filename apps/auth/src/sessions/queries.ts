import { refreshTokens, type ServerDetailsExecutor, sessions } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, desc, eq, gt, inArray, isNotNull, isNull, lt, ne, or, sql } from 'drizzle-orm'

export type SessionRow = typeof sessions.$inferSelect

const living = (now: Date) => and(isNull(sessions.revokedAt), gt(sessions.expiresAt, now))

export async function insertSession(tx: ServerDetailsExecutor, row: Omit<SessionRow, 'revokedAt'>): Promise<void> {
  await tx.insert(sessions).values(row)
}

/** Newest first. */
export const listLivingSessions = (
  db: ServerDetailsExecutor,
  userId: string,
  { now, page }: { now: Date; page: PageRequest },
): Promise<SessionRow[]> =>
  db
    .select()
    .from(sessions)
    .where(and(eq(sessions.userId, userId), living(now), page.after ? lt(sessions.id, page.after) : undefined))
    .orderBy(desc(sessions.id))
    .limit(page.limit + 1)

export const listRevokedSessions = (db: ServerDetailsExecutor, since: Date) =>
  db
    .select({ id: sessions.id, revokedAt: sessions.revokedAt })
    .from(sessions)
    .where(gt(sessions.revokedAt, since))
    .orderBy(sessions.revokedAt)

/** Ends a session that lives, of this user only where one is named; answers whose it was. */
export async function revokeLivingSession(
  tx: ServerDetailsExecutor,
  { id, userId, now }: { id: string; userId?: string; now: Date },
): Promise<string | undefined> {
  const [row] = await tx
    .update(sessions)
    .set({ revokedAt: now })
    .where(and(eq(sessions.id, id), userId ? eq(sessions.userId, userId) : undefined, living(now)))
    .returning({ userId: sessions.userId })
  return row?.userId
}

/** Ends all living sessions of somebody, but one where it is named; answers which. */
export async function revokeLivingSessions(
  tx: ServerDetailsExecutor,
  { userId, except, now }: { userId: string; except?: string; now: Date },
): Promise<string[]> {
  const rows = await tx
    .update(sessions)
    .set({ revokedAt: now })
    .where(and(eq(sessions.userId, userId), except ? ne(sessions.id, except) : undefined, living(now)))
    .returning({ id: sessions.id })
  return rows.map(({ id }) => id)
}

/** Moves a living session on; answers whose it is. */
export async function renewSession(
  tx: ServerDetailsExecutor,
  { id, now, ...values }: Pick<SessionRow, 'id' | 'expiresAt' | 'metadata' | 'dataKeyId'> & { now: Date },
): Promise<string | undefined> {
  const [row] = await tx
    .update(sessions)
    .set({ ...values, lastUsedAt: now })
    .where(and(eq(sessions.id, id), living(now)))
    .returning({ userId: sessions.userId })
  return row?.userId
}

export async function insertRefreshToken(
  tx: ServerDetailsExecutor,
  row: { hash: Uint8Array; sessionId: string; createdAt: Date },
): Promise<void> {
  await tx.insert(refreshTokens).values(row)
}

/**
 * Takes the one use of a refresh token, and keeps what it is exchanged for with it. Of several that try at once, one gets
 * the session, the others nothing.
 */
export async function useRefreshToken(
  tx: ServerDetailsExecutor,
  { hash, successor, now }: { hash: Uint8Array; successor: Uint8Array; now: Date },
): Promise<string | undefined> {
  const [row] = await tx
    .update(refreshTokens)
    .set({ usedAt: now, successor })
    .where(and(eq(refreshTokens.hash, hash), isNull(refreshTokens.usedAt)))
    .returning({ sessionId: refreshTokens.sessionId })
  return row?.sessionId
}

export type RefreshTokenRow = typeof refreshTokens.$inferSelect

/** A refresh token, used or not. */
export async function findRefreshToken(
  tx: ServerDetailsExecutor,
  hash: Uint8Array,
): Promise<RefreshTokenRow | undefined> {
  const [row] = await tx.select().from(refreshTokens).where(eq(refreshTokens.hash, hash))
  return row
}

export async function findLivingSession(
  tx: ServerDetailsExecutor,
  id: string,
  now: Date,
): Promise<SessionRow | undefined> {
  const [row] = await tx
    .select()
    .from(sessions)
    .where(and(eq(sessions.id, id), living(now)))
  return row
}

/** The living sessions of somebody beyond the `kept` that were used last. */
export async function listIdleSessions(
  tx: ServerDetailsExecutor,
  userId: string,
  { now, kept }: { now: Date; kept: number },
): Promise<string[]> {
  const rows = await tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(and(eq(sessions.userId, userId), living(now)))
    .orderBy(desc(sessions.lastUsedAt), desc(sessions.id))
    .offset(kept)
  return rows.map(({ id }) => id)
}

/** Deletes up to `limit` sessions that nobody asks for any more, with their tokens; answers how many. */
export async function pruneSessions(
  db: ServerDetailsExecutor,
  { expiredBefore, revokedBefore, limit }: { expiredBefore: Date; revokedBefore: Date; limit: number },
): Promise<number> {
  const over = db
    .select({ id: sessions.id })
    .from(sessions)
    .where(or(lt(sessions.expiresAt, expiredBefore), lt(sessions.revokedAt, revokedBefore)))
    .limit(limit)
    .for('update', { skipLocked: true })
  const deleted = await db.delete(sessions).where(inArray(sessions.id, over)).returning({ id: sessions.id })
  return deleted.length
}

/** Forgets what used tokens were exchanged for, once nobody may ask again. */
export async function forgetSuccessors(db: ServerDetailsExecutor, usedBefore: Date): Promise<void> {
  await db
    .update(refreshTokens)
    .set({ successor: null })
    .where(and(isNotNull(refreshTokens.successor), lt(refreshTokens.usedAt, usedBefore)))
}

/** Deletes up to `limit` refresh tokens that were used long ago; answers how many. */
export async function pruneUsedTokens(
  db: ServerDetailsExecutor,
  { usedBefore, limit }: { usedBefore: Date; limit: number },
): Promise<number> {
  const old = db
    .select({ hash: refreshTokens.hash })
    .from(refreshTokens)
    .where(lt(refreshTokens.usedAt, usedBefore))
    .limit(limit)
    .for('update', { skipLocked: true })
  const deleted = await db
    .delete(refreshTokens)
    .where(inArray(refreshTokens.hash, old))
    .returning({ one: sql<number>`1` })
  return deleted.length
}

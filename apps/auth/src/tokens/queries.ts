import { apiTokens, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { and, eq, isNull } from 'drizzle-orm'

export type ApiTokenRow = typeof apiTokens.$inferSelect

/** One that hasn't been revoked; it may have expired. */
export async function findApiToken(db: ServerDetailsExecutor, hash: Uint8Array): Promise<ApiTokenRow | undefined> {
  const [row] = await db
    .select()
    .from(apiTokens)
    .where(and(eq(apiTokens.hash, hash), isNull(apiTokens.revokedAt)))
  return row
}

export async function touchApiToken(db: ServerDetailsExecutor, id: string, at: Date): Promise<void> {
  await db.update(apiTokens).set({ lastUsedAt: at }).where(eq(apiTokens.id, id))
}

import { credentials, type ServerDetailsExecutor, sessions } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'

export async function findPasswordHash(db: ServerDetailsExecutor, userId: string): Promise<string | undefined> {
  const [row] = await db
    .select({ hash: credentials.passwordHash })
    .from(credentials)
    .where(eq(credentials.userId, userId))
  return row?.hash
}

/** When whoever has the session last proved who they are. */
export async function findAuthenticatedAt(db: ServerDetailsExecutor, sessionId: string): Promise<Date | undefined> {
  const [row] = await db.select({ at: sessions.authenticatedAt }).from(sessions).where(eq(sessions.id, sessionId))
  return row?.at
}

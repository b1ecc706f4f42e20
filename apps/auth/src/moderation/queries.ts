import { bans, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { and, eq, gt, isNull, or } from 'drizzle-orm'

export type BanRow = typeof bans.$inferSelect

const holds = (now: Date) => or(isNull(bans.expiresAt), gt(bans.expiresAt, now))

/** The ban of somebody who is banned now; one whose time is over is none, whether or not it has been cleared away. */
export async function banOf(db: ServerDetailsExecutor, userId: string, now: Date): Promise<BanRow | undefined> {
  const [row] = await db
    .select()
    .from(bans)
    .where(and(eq(bans.userId, userId), holds(now)))
  return row
}

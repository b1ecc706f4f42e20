import { type CommunicationsExecutor, messages } from '@conntext/db-communications'
import { and, count, desc, eq, isNotNull, sql } from 'drizzle-orm'
import type { MessageRow } from '../messages/shape.ts'

const pinned = (channelId: string) => and(eq(messages.channelId, channelId), isNotNull(messages.pinnedAt))

export async function countPins(db: CommunicationsExecutor, channelId: string): Promise<number> {
  const [row] = await db.select({ pins: count() }).from(messages).where(pinned(channelId))
  return row!.pins
}

/** The last pin of a page: when it was pinned, in milliseconds since 1970, and its id. */
export type PinPlace = { pinnedAt: number; id: string }

/** The newest pin first. */
export async function listPins(
  db: CommunicationsExecutor,
  channelId: string,
  { after, limit }: { after: PinPlace | undefined; limit: number },
): Promise<MessageRow[]> {
  const later =
    after &&
    sql`(${messages.pinnedAt}, ${messages.id}) < (${new Date(after.pinnedAt).toISOString()}::timestamptz, ${after.id}::uuid)`
  return db
    .select()
    .from(messages)
    .where(and(pinned(channelId), later))
    .orderBy(desc(messages.pinnedAt), desc(messages.id))
    .limit(limit)
}

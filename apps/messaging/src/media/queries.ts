import { type CommunicationsExecutor, deletedAuthors, media, messageMedia, messages } from '@conntext/db-communications'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import type { MediaRow } from './shape.ts'

/** Answers whether the row may stay: nothing is taken from who is gone. */
export async function insertMedia(tx: Transaction, row: MediaRow): Promise<boolean> {
  await tx.insert(media).values(row)
  // In this order: whoever deletes what somebody has left waits for writers, and then finds the row.
  const gone = await tx.select().from(deletedAuthors).where(eq(deletedAuthors.userId, row.ownerId))
  return gone.length === 0
}

export async function findMediaById(db: CommunicationsExecutor, id: string): Promise<MediaRow | undefined> {
  const [row] = await db.select().from(media).where(eq(media.id, id))
  return row
}

/** The channels in which a message carries the file; a deleted message carries none. */
export async function findCarryingChannels(db: CommunicationsExecutor, mediaId: string): Promise<string[]> {
  const rows = await db
    .select({ channelId: messages.channelId })
    .from(messageMedia)
    .innerJoin(messages, eq(messages.id, messageMedia.messageId))
    .where(eq(messageMedia.mediaId, mediaId))
    .groupBy(messages.channelId)
  return rows.map((row) => row.channelId)
}

import { type CommunicationsExecutor, media, messageMedia, messages } from '@conntext/db-communications'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import type { MediaRow } from './shape.ts'

export async function insertMedia(tx: Transaction, row: MediaRow): Promise<void> {
  await tx.insert(media).values(row)
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

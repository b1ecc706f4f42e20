import {
  type CommunicationsExecutor,
  deletedAuthors,
  media,
  mediaObjects,
  messageMedia,
  messages,
} from '@conntext/db-communications'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import type { MediaRow, ObjectRow } from './shape.ts'
import { changeUsage, type Quotas } from './usage.ts'

/** Bytes that the object store has, and that are nobody's yet. */
export type StoredBytes = { key: string; size: number; sha256: string }

/**
 * Makes stored bytes a file, counted within the quotas. Answers whether the row may stay: nothing is taken from who is
 * gone.
 * @throws media.quotaExceeded (409)
 */
export async function insertMedia(
  tx: Transaction,
  row: Omit<MediaRow, 'objectId' | 'size' | 'sha256' | 'width' | 'height' | 'thumbnail'>,
  { key, size, sha256 }: StoredBytes,
  quotas: Quotas,
): Promise<MediaRow | undefined> {
  const { id, ownerId, createdAt } = row
  await tx.insert(mediaObjects).values({ id, key, uploadedSha256: sha256, uploadedSize: size, createdAt })
  const [inserted] = await tx
    .insert(media)
    .values({ ...row, objectId: id, size, sha256 })
    .returning()
  // In this order: whoever deletes what somebody has left waits for writers, and then finds the row.
  const gone = await tx.select().from(deletedAuthors).where(eq(deletedAuthors.userId, ownerId))
  if (gone.length > 0) return undefined
  await changeUsage(tx, [{ ownerId, bytes: size, files: 1 }], quotas)
  return inserted
}

/** Where a file's bytes are, and its thumbnail's. */
export async function findObject(db: CommunicationsExecutor, id: string): Promise<ObjectRow | undefined> {
  const [row] = await db.select().from(mediaObjects).where(eq(mediaObjects.id, id))
  return row
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

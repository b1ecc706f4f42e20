import type { Media } from '@conntext/contracts'
import { type CommunicationsExecutor, media, messageMedia, messages } from '@conntext/db-communications'
import { and, asc, desc, eq, gte, inArray, isNull, lt, sql } from 'drizzle-orm'
import { type MediaRow, toMedia } from '../media/shape.ts'
import type { Transaction } from '../streams/writer.ts'
import type { MessageRow } from './shape.ts'

/** The media of each of these messages, in the order in which they were attached. */
export async function findMedia(db: CommunicationsExecutor, messageIds: string[]): Promise<Map<string, Media[]>> {
  if (messageIds.length === 0) return new Map()
  const rows: { messageId: string; media: MediaRow }[] = await db
    .select({ messageId: messageMedia.messageId, media })
    .from(messageMedia)
    .innerJoin(media, eq(media.id, messageMedia.mediaId))
    // As one array: a statement of one text, whatever their number.
    .where(sql`${messageMedia.messageId} = any(${sql.param(messageIds)}::uuid[])`)
    .orderBy(asc(messageMedia.position))
  const found = new Map<string, Media[]>()
  for (const row of rows) found.set(row.messageId, [...(found.get(row.messageId) ?? []), toMedia(row.media)])
  return found
}

/** A message that has not been deleted. */
export async function findMessage(
  db: CommunicationsExecutor,
  channelId: string,
  id: string,
): Promise<MessageRow | undefined> {
  const [row] = await db
    .select()
    .from(messages)
    .where(and(eq(messages.id, id), eq(messages.channelId, channelId), isNull(messages.deletedAt)))
  return row
}

/** A message's place in its channel, also of one that has been deleted: whoever pages may still stand there. */
export async function findPosition(
  db: CommunicationsExecutor,
  channelId: string,
  id: string,
): Promise<number | undefined> {
  const [row] = await db
    .select({ seq: messages.seq })
    .from(messages)
    .where(and(eq(messages.id, id), eq(messages.channelId, channelId)))
  return row?.seq
}

/** Up to `limit` messages before a place, nearest first; or from it on, nearest first. */
export function listMessages(
  db: CommunicationsExecutor,
  query: { channelId: string; split: number; side: 'before' | 'from'; limit: number },
): Promise<MessageRow[]> {
  const { channelId, split, side, limit } = query
  const before = side === 'before'
  return db
    .select()
    .from(messages)
    .where(
      and(
        eq(messages.channelId, channelId),
        isNull(messages.deletedAt),
        before ? lt(messages.seq, split) : gte(messages.seq, split),
      ),
    )
    .orderBy(before ? desc(messages.seq) : asc(messages.seq))
    .limit(limit)
}

/** Those of these messages that are in the channel and have not been deleted, in their order. */
export async function findMessages(
  db: CommunicationsExecutor,
  channelId: string,
  ids: string[],
): Promise<MessageRow[]> {
  return db
    .select()
    .from(messages)
    .where(and(inArray(messages.id, ids), eq(messages.channelId, channelId), isNull(messages.deletedAt)))
    .orderBy(asc(messages.seq))
}

export async function updateMessage(
  tx: Transaction,
  id: string,
  change: Partial<Pick<MessageRow, 'content' | 'mentions' | 'editedAt' | 'editedSeq' | 'revision' | 'pinnedAt'>>,
): Promise<MessageRow> {
  const [row] = await tx.update(messages).set(change).where(eq(messages.id, id)).returning()
  return row!
}

/** Takes the media off a message, and answers which they were. */
export async function detachMedia(tx: Transaction, messageIds: string[]): Promise<string[]> {
  const rows = await tx
    .delete(messageMedia)
    .where(inArray(messageMedia.messageId, messageIds))
    .returning({ id: messageMedia.mediaId })
  return rows.map((row) => row.id)
}

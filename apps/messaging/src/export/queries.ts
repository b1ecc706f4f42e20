import type { ExportedMessage, Media, MessageType } from '@conntext/contracts'
import { type CommunicationsExecutor, media, messageMedia, messages } from '@conntext/db-communications'
import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import { toMedia } from '../media/shape.ts'

const AT_ONCE = 200

type Place = { channelId: string; seq: number }

/** A page of what somebody has written and not deleted: by channel, in its order. */
export async function pageWritten(
  db: CommunicationsExecutor,
  { userId, after }: { userId: string; after?: Place | undefined },
): Promise<{ items: ExportedMessage[]; next: Place | null }> {
  const rows = await db
    .select()
    .from(messages)
    .where(
      and(
        eq(messages.authorId, userId),
        isNull(messages.deletedAt),
        after && sql`(${messages.channelId}, ${messages.seq}) > (${after.channelId}::uuid, ${after.seq}::bigint)`,
      ),
    )
    .orderBy(asc(messages.channelId), asc(messages.seq))
    .limit(AT_ONCE + 1)
  const page = rows.slice(0, AT_ONCE)
  const mediaIds = await findMediaIds(
    db,
    page.map((row) => row.id),
  )
  const items = page.map((row) => ({
    id: row.id,
    channelId: row.channelId,
    type: row.type as MessageType,
    content: row.content,
    replyTo: row.replyTo,
    mediaIds: mediaIds.get(row.id) ?? [],
    createdAt: row.createdAt.toISOString(),
    editedAt: row.editedAt?.toISOString() ?? null,
  }))
  const last = rows.length > AT_ONCE ? page.at(-1)! : undefined
  return { items, next: last ? { channelId: last.channelId, seq: last.seq } : null }
}

async function findMediaIds(db: CommunicationsExecutor, messageIds: string[]): Promise<Map<string, string[]>> {
  if (messageIds.length === 0) return new Map()
  const rows = await db
    .select({ messageId: messageMedia.messageId, mediaId: messageMedia.mediaId })
    .from(messageMedia)
    .where(inArray(messageMedia.messageId, messageIds))
    .orderBy(asc(messageMedia.position))
  const found = new Map<string, string[]>()
  for (const { messageId, mediaId } of rows) found.set(messageId, [...(found.get(messageId) ?? []), mediaId])
  return found
}

/** A page of somebody's files, in the order in which they were uploaded. */
export async function pageFiles(
  db: CommunicationsExecutor,
  { userId, after }: { userId: string; after?: string | undefined },
): Promise<{ items: Media[]; next: string | null }> {
  const rows = await db
    .select()
    .from(media)
    .where(and(eq(media.ownerId, userId), after === undefined ? undefined : gt(media.id, after)))
    .orderBy(asc(media.id))
    .limit(AT_ONCE + 1)
  const items = rows.slice(0, AT_ONCE).map(toMedia)
  return { items, next: rows.length > AT_ONCE ? items.at(-1)!.id : null }
}

import { type CommunicationsExecutor, media, messageMedia, messages } from '@conntext/db-communications'
import { and, desc, eq, inArray, isNull, type SQL, sql } from 'drizzle-orm'
import type { MediaRow } from '../media/shape.ts'

export type LibraryRow = { messageId: string; position: number; channelId: string; attachedAt: Date; media: MediaRow }

export type LibraryFilter = {
  /** Nothing is found but in these. */
  channelIds: string[]
  uploaderId: string | undefined
  kind: 'image' | 'video' | 'audio' | 'other' | undefined
}

/** Files that messages carry, the newest message's last first. `after` is where the page before ended. */
export async function listLibrary(
  db: CommunicationsExecutor,
  { channelIds, uploaderId, kind }: LibraryFilter,
  { limit, after }: { limit: number; after: { messageId: string; position: number } | undefined },
): Promise<LibraryRow[]> {
  if (channelIds.length === 0) return []
  return db
    .select({
      messageId: messageMedia.messageId,
      position: messageMedia.position,
      channelId: messages.channelId,
      attachedAt: messages.createdAt,
      media,
    })
    .from(messageMedia)
    .innerJoin(messages, eq(messages.id, messageMedia.messageId))
    .innerJoin(media, eq(media.id, messageMedia.mediaId))
    .where(
      and(
        inArray(messages.channelId, channelIds),
        isNull(messages.deletedAt),
        uploaderId === undefined ? undefined : eq(media.ownerId, uploaderId),
        kind === undefined ? undefined : ofKind(kind),
        after &&
          sql`(${messageMedia.messageId}, ${messageMedia.position}) < (${after.messageId}::uuid, ${after.position}::int)`,
      ),
    )
    .orderBy(desc(messageMedia.messageId), desc(messageMedia.position))
    .limit(limit)
}

const ofKind = (kind: NonNullable<LibraryFilter['kind']>): SQL =>
  kind === 'other'
    ? sql`${media.contentType} !~ '^(image|video|audio)/'`
    : sql`${media.contentType} like ${`${kind}/%`}`

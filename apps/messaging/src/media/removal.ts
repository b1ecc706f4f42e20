import type { AuditActor } from '@conntext/contracts'
import { media, messageMedia, messagingOutbox, publishedImages } from '@conntext/db-communications'
import { newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { and, asc, eq, inArray, notExists, sql } from 'drizzle-orm'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { Transaction } from '../streams/writer.ts'

/** The outbox topic for objects whose rows are gone: their bytes follow, as soon as the object store is there. */
export const OBJECT_DELETION = 'objectDeletion'
export type ObjectDeletion = { key: string }

export type Dropped = { id: string; ownerId: string; objectKey: string }

/**
 * Deletes those of the media that no message carries and that aren't shown as pictures, and owes the deletion of their
 * bytes. Answers which they were.
 */
export async function dropUnusedMedia(tx: Transaction, ids: string[]): Promise<Dropped[]> {
  if (ids.length === 0) return []
  // Locked first, in the order of ids, and looked at in a statement of its own: it then sees what was attached by
  // whoever held the media before.
  await tx.select({ id: media.id }).from(media).where(inArray(media.id, ids)).orderBy(asc(media.id)).for('update')
  const attached = tx.select({ one: sql`1` }).from(messageMedia).where(eq(messageMedia.mediaId, media.id))
  const shown = tx.select({ one: sql`1` }).from(publishedImages).where(eq(publishedImages.mediaId, media.id))
  const dropped = await tx
    .delete(media)
    .where(and(inArray(media.id, ids), notExists(attached), notExists(shown)))
    .returning({ id: media.id, ownerId: media.ownerId, objectKey: media.objectKey })
  const owed = dropped.map(({ objectKey }) => ({
    id: newId(),
    topic: OBJECT_DELETION,
    payload: { key: objectKey } satisfies ObjectDeletion,
  }))
  await enqueue(tx, messagingOutbox, owed)
  return dropped
}

/** Audits that somebody's action made these files go. */
export async function recordDropped(tx: Transaction, actor: AuditActor, dropped: Dropped[]): Promise<void> {
  const events = dropped.map(({ id, ownerId }) => messagingAudit('media.deleted', actor, id, { ownerId }))
  await recordAudit(tx, events)
}

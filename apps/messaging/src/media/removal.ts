import type { AuditActor } from '@conntext/contracts'
import {
  type Communications,
  media,
  mediaObjects,
  messageMedia,
  messagingOutbox,
  publishedImages,
} from '@conntext/db-communications'
import { newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { and, asc, eq, inArray, notExists, sql } from 'drizzle-orm'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { Transaction } from '../streams/writer.ts'
import { changeUsage } from './usage.ts'

/** The outbox topic for objects that a file has let go of: those that no other file has are collected. */
export const OBJECT_RELEASE = 'objectRelease'
export type ObjectRelease = { objectId: string }

/** The outbox topic for objects whose rows are gone: their bytes follow, as soon as the object store is there. */
export const OBJECT_DELETION = 'objectDeletion'
export type ObjectDeletion = { key: string }

export type Dropped = { id: string; ownerId: string }

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
    .returning({ id: media.id, ownerId: media.ownerId, size: media.size, objectId: media.objectId })
  await changeUsage(
    tx,
    dropped.map(({ ownerId, size }) => ({ ownerId, bytes: -size, files: -1 })),
  )
  await owe(
    tx,
    OBJECT_RELEASE,
    [...new Set(dropped.map(({ objectId }) => objectId))].map((objectId): ObjectRelease => ({ objectId })),
  )
  return dropped.map(({ id, ownerId }) => ({ id, ownerId }))
}

/** Deletes those of the objects that no file points to, and owes the deletion of their bytes. */
export async function collectObjects(db: Communications, ids: string[]): Promise<void> {
  await db.transaction(async (tx) => {
    // Locked first: whoever gives a file one of them holds it, and is then seen.
    await tx
      .select({ id: mediaObjects.id })
      .from(mediaObjects)
      .where(inArray(mediaObjects.id, ids))
      .orderBy(asc(mediaObjects.id))
      .for('update')
    const used = tx.select({ one: sql`1` }).from(media).where(eq(media.objectId, mediaObjects.id))
    const gone = await tx
      .delete(mediaObjects)
      .where(and(inArray(mediaObjects.id, ids), notExists(used)))
      .returning({ key: mediaObjects.key, thumbnailKey: mediaObjects.thumbnailKey })
    await oweDeletion(
      tx,
      gone.flatMap(({ key, thumbnailKey }) => [key, thumbnailKey]),
    )
  })
}

/** Owes the deletion of what the object store has under these keys. */
export const oweDeletion = (tx: Transaction, keys: (string | null)[]): Promise<void> =>
  owe(
    tx,
    OBJECT_DELETION,
    keys.filter((key) => key !== null).map((key): ObjectDeletion => ({ key })),
  )

export const owe = (tx: Transaction, topic: string, payloads: object[]): Promise<void> =>
  enqueue(
    tx,
    messagingOutbox,
    payloads.map((payload) => ({ id: newId(), topic, payload })),
  )

/** Audits that somebody's action made these files go. */
export async function recordDropped(tx: Transaction, actor: AuditActor, dropped: Dropped[]): Promise<void> {
  const events = dropped.map(({ id, ownerId }) => messagingAudit('media.deleted', actor, id, { ownerId }))
  await recordAudit(tx, events)
}

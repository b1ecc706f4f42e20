import { type CommunicationsExecutor, media, mediaObjects } from '@conntext/db-communications'
import { and, desc, eq, isNotNull, isNull, lt, ne, or, sql } from 'drizzle-orm'
import type { MediaRow, ObjectRow } from '../media/shape.ts'
import type { Transaction } from '../streams/writer.ts'

// Longer than anything that is done with one object.
const CLAIM_MS = 10 * 60_000
const TWINS_LOOKED_AT = 20

/**
 * Takes the newest object that nobody has looked at: what was uploaded just now is waited for. Its attempts are counted
 * first, so that one of which this process dies is not tried for ever.
 */
export async function claimObject(db: CommunicationsExecutor, now: Date): Promise<ObjectRow | undefined> {
  const free = or(isNull(mediaObjects.claimedUntil), lt(mediaObjects.claimedUntil, now))
  const next = db
    .select({ id: mediaObjects.id })
    .from(mediaObjects)
    .where(and(isNull(mediaObjects.processedAt), free))
    .orderBy(desc(mediaObjects.createdAt))
    .limit(1)
    .for('update', { skipLocked: true })
  const [row] = await db
    .update(mediaObjects)
    .set({ claimedUntil: new Date(now.getTime() + CLAIM_MS), attempts: sql`${mediaObjects.attempts} + 1` })
    .where(eq(mediaObjects.id, sql`(${next})`))
    .returning()
  return row
}

/** Gives it back, to be tried again later; the attempt counts, or not, where what failed had nothing to do with it. */
export async function postponeObject(
  db: CommunicationsExecutor,
  id: string,
  { until, counted }: { until: Date; counted: boolean },
): Promise<void> {
  await db
    .update(mediaObjects)
    .set({ claimedUntil: until, attempts: counted ? mediaObjects.attempts : sql`${mediaObjects.attempts} - 1` })
    .where(and(eq(mediaObjects.id, id), isNull(mediaObjects.processedAt)))
}

/** One file that has the object; all that have it say the same of it. */
export async function findHolder(db: CommunicationsExecutor, objectId: string): Promise<MediaRow | undefined> {
  const [row] = await db.select().from(media).where(eq(media.objectId, objectId)).orderBy(media.id).limit(1)
  return row
}

/** Files of objects that were uploaded from the very same bytes, and have been looked at. */
export async function findTwins(tx: Transaction, object: ObjectRow): Promise<MediaRow[]> {
  const rows = await tx
    .select({ media })
    .from(mediaObjects)
    .innerJoin(media, eq(media.objectId, mediaObjects.id))
    .where(
      and(
        eq(mediaObjects.uploadedSha256, object.uploadedSha256),
        eq(mediaObjects.uploadedSize, object.uploadedSize),
        ne(mediaObjects.id, object.id),
        isNotNull(mediaObjects.processedAt),
        ne(media.state, 'lost'),
      ),
    )
    .orderBy(mediaObjects.id, media.id)
    .limit(TWINS_LOOKED_AT)
  return rows.map((row) => row.media)
}

import { type CommunicationsExecutor, deletedAuthors, media, publishedImages } from '@conntext/db-communications'
import { and, eq } from 'drizzle-orm'
import { formerly } from '../audit.ts'
import { mediaErrors } from './errors.ts'
import { dropUnusedMedia, recordDropped } from './removal.ts'

const MOST_BYTES = 5 * 1024 * 1024
// What a file is was found in its bytes. No SVG: it can carry scripts.
const PICTURES = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif'])

/** Where a picture is shown: `server`, `user:<id>` or `webhook:<id>`. */
export type Publication = { mediaId: string; holder?: string }

const SERVER = 'server'

/**
 * Lets every member see somebody's own picture.
 * @throws media.notFound (404), also for other people's; media.processing (409) while nobody has looked into it;
 * media.notAnImage, media.imageTooLarge (422)
 */
export async function publishImage(
  db: CommunicationsExecutor,
  { mediaId, userId, holder = SERVER }: Publication & { userId: string },
): Promise<void> {
  await db.transaction(async (tx) => {
    const [row] = await tx
      .select({ contentType: media.contentType, size: media.size, state: media.state })
      .from(media)
      .where(and(eq(media.id, mediaId), eq(media.ownerId, userId)))
      // Whoever wants to delete it waits, and then finds it published.
      .for('key share')
    if (!row || row.state === 'lost') throw mediaErrors.notFound()
    if (row.state === 'processing') throw mediaErrors.processing({ retryAfter: 1 })
    if (!PICTURES.has(row.contentType)) throw mediaErrors.notAnImage('PNG, JPEG, WebP and GIF are taken.')
    if (row.size > MOST_BYTES) throw mediaErrors.imageTooLarge(`Pictures of up to ${MOST_BYTES} bytes are taken.`)
    await tx.insert(publishedImages).values({ mediaId, holder }).onConflictDoNothing()
  })
}

/**
 * It is seen again only by its uploader, where messages carry it, and where else it is shown. Where its uploader is gone
 * and none of these is left, it goes, too: nobody else could delete it.
 */
export async function withdrawImage(
  db: CommunicationsExecutor,
  { mediaId, holder = SERVER }: Publication,
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx
      .delete(publishedImages)
      .where(and(eq(publishedImages.mediaId, mediaId), eq(publishedImages.holder, holder)))
    const [left] = await tx
      .select({ userId: deletedAuthors.userId })
      .from(media)
      .innerJoin(deletedAuthors, eq(deletedAuthors.userId, media.ownerId))
      .where(eq(media.id, mediaId))
    if (left) await recordDropped(tx, formerly(left.userId), await dropUnusedMedia(tx, [mediaId]))
  })
}

/** Takes a person's pictures back, wherever they have shown them as their own. */
export async function withdrawImagesOf(db: CommunicationsExecutor, userId: string): Promise<void> {
  await db.delete(publishedImages).where(eq(publishedImages.holder, `user:${userId}`))
}

export async function isPublished(db: CommunicationsExecutor, mediaId: string): Promise<boolean> {
  const rows = await db
    .select({ id: publishedImages.mediaId })
    .from(publishedImages)
    .where(eq(publishedImages.mediaId, mediaId))
    .limit(1)
  return rows.length > 0
}

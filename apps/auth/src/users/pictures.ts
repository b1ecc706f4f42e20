import type { MessagingPort } from '@conntext/contracts'
import { type ServerDetails, users } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'

/** A picture that somebody no longer shows as theirs. */
export type PictureGivenUp = { userId: string; mediaId: string }

/** Where messaging knows a person's picture to be shown. */
export const pictureHolder = (userId: string) => `user:${userId}`

/**
 * Takes a picture back, unless it has become theirs again meanwhile. Under the lock of their account, like its
 * publication: of the two the later one counts.
 */
export async function withdrawPicture(
  db: ServerDetails,
  messaging: Pick<MessagingPort, 'withdrawImage'>,
  { userId, mediaId }: PictureGivenUp,
): Promise<void> {
  await db.transaction(async (tx) => {
    const [row] = await tx
      .select({ avatarId: users.avatarId })
      .from(users)
      .where(eq(users.id, userId))
      .for('no key update')
    if (row?.avatarId !== mediaId) await messaging.withdrawImage({ mediaId, holder: pictureHolder(userId) })
  })
}

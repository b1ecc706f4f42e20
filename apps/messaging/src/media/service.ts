import type { Media } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import { accessErrors, actorOf, type Caller, type Guard, inScope } from '@conntext/http'
import type { Transaction } from '../streams/writer.ts'
import { mediaErrors } from './errors.ts'
import { isPublished } from './pictures.ts'
import { findCarryingChannels, findMediaById } from './queries.ts'
import { dropUnusedMedia, recordDropped } from './removal.ts'
import { type MediaRow, toMedia } from './shape.ts'

export type MediaDeps = { db: Communications; guard: Guard; nudge: () => void }

/** A file that is the caller's, that is shown to all, or that a message carries where the caller may look. @throws media.notFound (404) */
export async function visibleMedia({ db, guard }: MediaDeps, caller: Caller, id: string): Promise<MediaRow> {
  const row = await findMediaById(db, id)
  if (!row) throw mediaErrors.notFound()
  const own = row.ownerId === caller.userId && inScope(caller, 'media.attach')
  if (own || (await isPublished(db, id))) return row
  for (const channelId of await findCarryingChannels(db, id)) {
    if (await guard.allows(caller, 'channel.view', channelId)) return row
  }
  throw mediaErrors.notFound()
}

export async function getMedia(deps: MediaDeps, caller: Caller, id: string): Promise<Media> {
  return toMedia(await visibleMedia(deps, caller, id))
}

/**
 * Deletes a file of one's own that no message carries and that isn't shown as a picture.
 * @throws media.notFound (404), media.notOwner, access.forbidden (403), media.attached, media.published (409)
 */
export async function deleteMedia(deps: MediaDeps, caller: Caller, id: string): Promise<void> {
  const { ownerId } = await visibleMedia(deps, caller, id)
  if (ownerId !== caller.userId) throw mediaErrors.notOwner()
  if (!inScope(caller, 'media.attach')) throw accessErrors.forbidden('This needs the permission media.attach.')
  await deps.db.transaction(async (tx) => {
    const dropped = await dropUnusedMedia(tx, [id])
    if (dropped.length === 0) throw await whyKept(tx, id)
    await recordDropped(tx, actorOf(caller), dropped)
  })
  deps.nudge()
}

async function whyKept(tx: Transaction, id: string): Promise<Error> {
  if (!(await findMediaById(tx, id))) return mediaErrors.notFound()
  return (await isPublished(tx, id)) ? mediaErrors.published() : mediaErrors.attached()
}

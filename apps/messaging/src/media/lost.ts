import { media, mediaObjects } from '@conntext/db-communications'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import { asc, eq, gt } from 'drizzle-orm'
import type { OrphanDeps } from './orphans.ts'
import type { ObjectRow } from './shape.ts'

/** Files whose bytes are gone, such whose bytes are back, and thumbnails that are gone. */
export type Lost = { files: number; found: number; thumbnails: number }

const AT_ONCE = 200

/**
 * Finds files whose bytes the object store has not; with `repair`, says so of them, takes it back of those whose bytes
 * are there again, and has missing thumbnails made anew.
 */
export async function findLost(deps: OrphanDeps, { repair }: { repair: boolean }): Promise<Lost> {
  const total: Lost = { files: 0, found: 0, thumbnails: 0 }
  for (let after: string | undefined; ; ) {
    const rows = await deps.db
      .select()
      .from(mediaObjects)
      .where(after === undefined ? undefined : gt(mediaObjects.id, after))
      .orderBy(asc(mediaObjects.id))
      .limit(AT_ONCE)
    for (const row of rows) {
      const state = await look(deps, row, repair)
      for (const key of ['files', 'found', 'thumbnails'] as const) total[key] += state[key]
    }
    if (rows.length < AT_ONCE) return total
    after = rows.at(-1)!.id
  }
}

const NOTHING: Lost = { files: 0, found: 0, thumbnails: 0 }

async function look(deps: OrphanDeps, seen: ObjectRow, repair: boolean): Promise<Lost> {
  const first = await compare(deps, seen)
  if (!first.amiss) return NOTHING
  // Looked at again while nobody can change it: what was deleted in between is not lost.
  return deps.db.transaction(async (tx) => {
    const [row] = await tx.select().from(mediaObjects).where(eq(mediaObjects.id, seen.id)).for('update')
    if (!row) return NOTHING
    const holders = await tx.select({ state: media.state }).from(media).where(eq(media.objectId, row.id))
    const { isThere, thumbnailIsThere } = await compare(deps, row)
    const wereLost = holders.filter(({ state }) => state === 'lost').length
    if (!isThere) {
      if (repair) await tx.update(media).set({ state: 'lost' }).where(eq(media.objectId, row.id))
      return { ...NOTHING, files: holders.length }
    }
    if (wereLost === 0 && thumbnailIsThere) return NOTHING
    if (repair) {
      // Whoever looks into it now makes of it again what it was.
      await tx
        .update(mediaObjects)
        .set({ processedAt: null, claimedUntil: null, attempts: 0, thumbnailKey: null, thumbnailSize: null })
        .where(eq(mediaObjects.id, row.id))
      await tx.update(media).set({ state: 'processing', thumbnail: false }).where(eq(media.objectId, row.id))
    }
    return { ...NOTHING, found: wereLost, thumbnails: thumbnailIsThere ? 0 : 1 }
  })
}

async function compare({ db, objects }: OrphanDeps, { id, key, thumbnailKey }: ObjectRow) {
  const isThere = await exists(objects, key)
  const thumbnailIsThere = thumbnailKey === null || (await exists(objects, thumbnailKey))
  const [lost] = isThere
    ? await db.select({ state: media.state }).from(media).where(eq(media.objectId, id)).limit(1)
    : []
  return { isThere, thumbnailIsThere, amiss: !isThere || !thumbnailIsThere || lost?.state === 'lost' }
}

const exists = (objects: ObjectStore, key: string): Promise<boolean> =>
  objects.head(key).then(
    () => true,
    (error: unknown) => {
      if (error instanceof ObjectNotFound) return false
      throw error
    },
  )

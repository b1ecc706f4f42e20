import { type Communications, mediaObjects, mediaUploads } from '@conntext/db-communications'
import type { Clock } from '@conntext/kernel'
import type { ObjectInfo, ObjectStore, UploadAddress } from '@conntext/object-store'
import { and, eq, inArray, isNull, or } from 'drizzle-orm'

export type OrphanDeps = { db: Communications; objects: ObjectStore; clock: Clock }

/** What the object store has, and nobody knows of. */
export type Orphans = { objects: number; bytes: number; uploads: number }

// What is younger may be on its way: the bytes come before their row.
const YOUNG_MS = 24 * 60 * 60_000
const PREFIX = 'media/'
const AT_ONCE = 500

/**
 * Finds objects and begun uploads that no row names, and that have been there for a day; with `repair`, removes them.
 * Nothing is ever named that is as old as that and was not before.
 */
export async function findOrphans(deps: OrphanDeps, { repair }: { repair: boolean }): Promise<Orphans> {
  const found: Orphans = { objects: 0, bytes: 0, uploads: 0 }
  const oldest = deps.clock.now().getTime() - YOUNG_MS
  const isOld = ({ lastModified }: { lastModified: Date }) => lastModified.getTime() < oldest
  for await (const page of pagesOf(deps.objects)) {
    for (const { key, size } of await withoutRow(deps.db, page.filter(isOld))) {
      found.objects += 1
      found.bytes += size
      if (repair) await deps.objects.delete(key)
    }
  }
  for await (const upload of deps.objects.listUploads()) {
    if (!isOld(upload) || (await hasRow(deps.db, upload))) continue
    found.uploads += 1
    if (repair) await deps.objects.openUpload(upload).abort()
  }
  return found
}

async function* pagesOf(objects: ObjectStore): AsyncGenerator<ObjectInfo[]> {
  let cursor: string | undefined
  do {
    const page = await objects.list({ prefix: PREFIX, limit: AT_ONCE, ...(cursor !== undefined && { cursor }) })
    yield page.objects
    cursor = page.cursor
  } while (cursor !== undefined)
}

async function withoutRow(db: Communications, objects: ObjectInfo[]): Promise<ObjectInfo[]> {
  if (objects.length === 0) return []
  const keys = objects.map(({ key }) => key)
  const [known, arriving] = await Promise.all([
    db
      .select({ key: mediaObjects.key, thumbnailKey: mediaObjects.thumbnailKey })
      .from(mediaObjects)
      .where(or(inArray(mediaObjects.key, keys), inArray(mediaObjects.thumbnailKey, keys))),
    // All of it has arrived, and it is no file yet.
    db
      .select({ key: mediaUploads.objectKey })
      .from(mediaUploads)
      .where(and(inArray(mediaUploads.objectKey, keys), isNull(mediaUploads.finishedAt))),
  ])
  const named = new Set([...known.flatMap((row) => [row.key, row.thumbnailKey]), ...arriving.map((row) => row.key)])
  return objects.filter(({ key }) => !named.has(key))
}

async function hasRow(db: Communications, { key, handle }: UploadAddress): Promise<boolean> {
  const rows = await db
    .select({ id: mediaUploads.id })
    .from(mediaUploads)
    .where(and(eq(mediaUploads.objectKey, key), eq(mediaUploads.handle, handle)))
  return rows.length > 0
}

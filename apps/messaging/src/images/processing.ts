import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Communications, media, mediaObjects } from '@conntext/db-communications'
import type { Guard } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm'
import { isPicture } from '../media/content-type.ts'
import { findCarryingChannels } from '../media/queries.ts'
import { collectObjects, oweDeletion } from '../media/removal.ts'
import type { MediaRow, ObjectRow } from '../media/shape.ts'
import { changeUsage } from '../media/usage.ts'
import type { Transaction } from '../streams/writer.ts'
import { type Decoder, NoDecoder, UndecodablePicture } from './decoder.ts'
import { LIMITS } from './decoding.ts'
import { findHolder, findTwins } from './queries.ts'
import { ObjectReader, streamPlan, stripPicture, UnreadablePicture } from './strip/index.ts'

export type ProcessingDeps = {
  db: Communications
  objects: ObjectStore
  guard: Guard
  clock: Clock
  log: Logger
  decoder: Decoder
  nudge: () => void
}

/** What a file is after somebody has looked into it. */
type Content = Pick<MediaRow, 'contentType' | 'size' | 'sha256' | 'width' | 'height'> & {
  key: string
  thumbnail: { key: string; size: number } | undefined
}

const BINARY = 'application/octet-stream'
// Of one that this process has died of so often, nothing more is expected.
const MOST_ATTEMPTS = 3

/**
 * Looks at an object once: where the same bytes are there already, for somebody who may see them, it becomes the same
 * object; of a picture it keeps what it shows and not what it tells. May be repeated, also after half of it.
 */
export async function processObject(deps: ProcessingDeps, object: ObjectRow): Promise<void> {
  const { db, nudge } = deps
  const holder = await findHolder(db, object.id)
  if (!holder) await collectObjects(db, [object.id])
  else if (!(await mergeOnly(deps, object, holder))) {
    await settle(deps, object, holder, await lookInto(deps, object, holder))
  }
  nudge()
}

const asItIs = (object: ObjectRow, { contentType, size, sha256 }: MediaRow): Content => ({
  key: object.key,
  contentType,
  size,
  sha256,
  width: null,
  height: null,
  thumbnail: undefined,
})

async function lookInto(deps: ProcessingDeps, object: ObjectRow, holder: MediaRow): Promise<Content> {
  const found = asItIs(object, holder)
  if (!isPicture(holder.contentType)) return found
  // Whatever isn't a picture that can be looked into is a file: nobody's browser shows it.
  const plainFile = { ...found, contentType: BINARY }
  if (object.attempts > MOST_ATTEMPTS) return plainFile
  try {
    return await develop(deps, object, found)
  } catch (error) {
    if (error instanceof UnreadablePicture || error instanceof UndecodablePicture) return plainFile
    if (error instanceof ObjectNotFound) return found
    throw error
  }
}

/** Makes of an uploaded picture what others see of it. */
async function develop({ objects, decoder, log }: ProcessingDeps, object: ObjectRow, found: Content): Promise<Content> {
  const reader = new ObjectReader(objects, object.key, found.size)
  const { plan, width, height } = await stripPicture(reader, found.contentType)
  if (width * height > LIMITS.pixels) throw new UnreadablePicture('it has too many pixels')
  const content = { ...found, width, height }
  if (!plan.keepsAll(found.size)) {
    content.key = `${object.key}.shown`
    const { size, sha256 } = await objects.put(content.key, streamPlan(plan, objects, object.key))
    Object.assign(content, { size, sha256 })
  }
  try {
    const bytes = await withFile(objects, content.key, (path) => decoder.thumbnail(path))
    const key = `${object.key}.thumbnail`
    const { size } = await objects.put(key, bytes)
    return { ...content, thumbnail: { key, size } }
  } catch (error) {
    if (error instanceof NoDecoder || isHeic(found.contentType)) return content
    // Nothing of it that was made is of use.
    if (content.key !== object.key) await objects.delete(content.key)
    log.debug({ err: error }, 'a picture could not be decoded: it is kept as a file')
    throw error
  }
}

// What it takes to decode them is not free: they go without a thumbnail.
const isHeic = (contentType: string): boolean => contentType.startsWith('image/hei')

/** The object as a file of this machine, for as long as it is used. */
async function withFile<T>(objects: ObjectStore, key: string, use: (path: string) => Promise<T>): Promise<T> {
  const own = await objects.file?.(key)
  if (own instanceof Blob && 'name' in own && typeof own.name === 'string') return use(own.name)
  const directory = await mkdtemp(join(tmpdir(), 'conntext-picture-'))
  try {
    const path = join(directory, 'picture')
    await Bun.write(path, new Response((await objects.get(key)).body))
    return await use(path)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Whether the object became another one, so that there is nothing to look into. */
const mergeOnly = ({ db, guard }: ProcessingDeps, object: ObjectRow, holder: MediaRow): Promise<boolean> =>
  db.transaction((tx) => merge(tx, guard, object, holder))

async function settle(deps: ProcessingDeps, object: ObjectRow, holder: MediaRow, content: Content): Promise<void> {
  const { db, guard, clock, objects } = deps
  const made = [content.key, content.thumbnail?.key].filter((key) => key !== undefined && key !== object.key)
  const outcome = await db.transaction(async (tx) => {
    // Another that came at the same time may have been settled by now.
    if (await merge(tx, guard, object, holder)) return 'merged'
    const [there] = await tx.select().from(mediaObjects).where(isOpen(object.id)).for('update')
    if (!there) return 'gone'
    const { key, thumbnail } = content
    await tx
      .update(mediaObjects)
      .set({
        key,
        thumbnailKey: thumbnail?.key ?? null,
        thumbnailSize: thumbnail?.size ?? null,
        processedAt: clock.now(),
        claimedUntil: null,
      })
      .where(eq(mediaObjects.id, object.id))
    await describe(tx, object.id, { ...content, thumbnail: thumbnail !== undefined })
    if (key !== object.key) await oweDeletion(tx, [object.key])
    return 'kept'
  })
  if (outcome !== 'kept') for (const key of made) await objects.delete(key!)
}

const isOpen = (id: string) => and(eq(mediaObjects.id, id), isNull(mediaObjects.processedAt))

type Description = Pick<MediaRow, 'contentType' | 'size' | 'sha256' | 'width' | 'height' | 'thumbnail'>

/** Says of all files that have the object what it is, and counts what they take then. */
async function describe(tx: Transaction, objectId: string, description: Description, newId = objectId): Promise<void> {
  const { contentType, size, sha256, width, height, thumbnail } = description
  const held = await tx
    .select({ id: media.id, ownerId: media.ownerId, size: media.size })
    .from(media)
    .where(eq(media.objectId, objectId))
    .orderBy(asc(media.id))
    .for('no key update')
  await tx
    .update(media)
    .set({ contentType, size, sha256, width, height, thumbnail, objectId: newId, state: 'ready' })
    .where(eq(media.objectId, objectId))
  const changes = held.map((row) => ({ ownerId: row.ownerId, bytes: size - row.size }))
  await changeUsage(
    tx,
    changes.filter(({ bytes }) => bytes !== 0),
  )
}

/**
 * Where the same bytes are stored already, for files that the uploader may see, its file gets that object, and its own
 * goes. This is not done while they wait: how long an upload takes tells nothing of what is there.
 */
async function merge(tx: Transaction, guard: Guard, object: ObjectRow, holder: MediaRow): Promise<boolean> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`media ${object.uploadedSha256}`}, 0))`)
  const twin = await visibleTwin(tx, guard, object, holder.ownerId)
  if (!twin) return false
  const ids = [object.id, twin.objectId]
  const locked = await tx
    .select({ id: mediaObjects.id })
    .from(mediaObjects)
    .where(inArray(mediaObjects.id, ids))
    .orderBy(asc(mediaObjects.id))
    .for('update')
  if (locked.length < ids.length) return false
  await describe(tx, object.id, twin, twin.objectId)
  const gone = await tx.delete(mediaObjects).where(eq(mediaObjects.id, object.id)).returning()
  await oweDeletion(
    tx,
    gone.flatMap(({ key, thumbnailKey }) => [key, thumbnailKey]),
  )
  return true
}

async function visibleTwin(
  tx: Transaction,
  guard: Guard,
  object: ObjectRow,
  ownerId: string,
): Promise<MediaRow | undefined> {
  const twins = await findTwins(tx, object)
  const own = twins.find((twin) => twin.ownerId === ownerId)
  if (own) return own
  for (const twin of twins) {
    for (const channelId of await findCarryingChannels(tx, twin.id)) {
      if (await guard.allows({ userId: ownerId }, 'channel.view', channelId)) return twin
    }
  }
  return undefined
}

import { type Caller, evaluateConditions, problemResponse } from '@conntext/http'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import type { PictureQueue } from '../images/queue.ts'
import { contentDisposition, servedType } from './content-type.ts'
import { mediaErrors } from './errors.ts'
import { findObject } from './queries.ts'
import { type MediaDeps, visibleMedia } from './service.ts'
import type { MediaRow } from './shape.ts'

export type DownloadDeps = MediaDeps & { objects: ObjectStore; pictures: Pick<PictureQueue, 'settled'> }
export type Download = { id: string; headers: Headers; variant: 'thumb' | undefined }

/** What is sent of a file: the file, or its thumbnail. */
type Variant = { key: string; size: number; etag: string; contentType: string; filename: string; lastModified: Date }

/**
 * A file's bytes, or its thumbnail's, or the part of them that is asked for, streamed as the client takes them. A picture
 * is shown to others only without what it tells.
 * @throws media.notFound, media.noThumbnail (404), media.processing (409)
 */
export async function downloadMedia(
  deps: DownloadDeps,
  caller: Caller,
  { id, headers, variant: asked }: Download,
): Promise<Response> {
  const variant = await variantOf(deps, await presentable(deps, caller, id), asked)
  const decision = evaluateConditions(headers, variant)
  const answer = commonHeaders(variant)
  switch (decision.status) {
    case 304:
      return new Response(null, { status: 304, headers: answer })
    case 412:
      return problemResponse(mediaErrors.changed(), caller.requestId)
    case 416:
      return unsatisfiable(variant, caller)
    case 206: {
      const { start, end } = decision.range
      answer.set('content-range', `bytes ${start}-${end}/${variant.size}`)
      answer.set('content-length', String(end - start + 1))
      return new Response(await open(deps.objects, variant.key, decision.range), { status: 206, headers: answer })
    }
    case 200:
      answer.set('content-length', String(variant.size))
      // With a Range that does not count here (If-Range), Bun would apply it to a file all the same.
      return new Response(await open(deps.objects, variant.key, undefined, headers.has('range')), { headers: answer })
  }
}

/** Validators and caching, which a 304 restates too, and what keeps a browser from running the file. */
const commonHeaders = ({ etag, lastModified, contentType, filename }: Variant) =>
  new Headers({
    etag,
    'last-modified': lastModified.toUTCString(),
    'cache-control': 'private',
    'accept-ranges': 'bytes',
    'content-type': servedType(contentType),
    'content-disposition': contentDisposition(contentType, filename),
    'x-content-type-options': 'nosniff',
    'content-security-policy': "sandbox; default-src 'none'",
  })

function unsatisfiable({ size }: Variant, caller: Caller): Response {
  const response = problemResponse(mediaErrors.rangeNotSatisfiable(), caller.requestId)
  response.headers.set('content-range', `bytes */${size}`)
  return response
}

/** A file that the caller may see as it is now: their own, or one that has been looked into, which is waited for. */
async function presentable(deps: DownloadDeps, caller: Caller, id: string): Promise<MediaRow> {
  const row = await visibleMedia(deps, caller, id)
  if (row.state !== 'processing' || row.ownerId === caller.userId) return row
  await deps.pictures.settled(row.ownerId, [id])
  const settled = await visibleMedia(deps, caller, id)
  if (settled.state === 'processing') throw mediaErrors.processing({ retryAfter: 1 })
  return settled
}

async function variantOf({ db }: DownloadDeps, row: MediaRow, asked: Download['variant']): Promise<Variant> {
  const object = await findObject(db, row.objectId)
  if (!object) throw mediaErrors.notFound()
  const { contentType, filename, size, sha256 } = row
  const lastModified = wholeSeconds(row.createdAt)
  const whole = { key: object.key, size, etag: `"${sha256}"`, contentType, filename, lastModified }
  if (asked === undefined) return whole
  const { thumbnailKey: key, thumbnailSize } = object
  if (key === null || thumbnailSize === null) throw mediaErrors.noThumbnail()
  return {
    ...whole,
    key,
    size: thumbnailSize,
    etag: `"${sha256}-thumb"`,
    contentType: 'image/webp',
    filename: `${filename}.webp`,
  }
}

/** As a file where the store has it as one: Bun tells the length of files, but of no stream. */
async function open(
  objects: ObjectStore,
  key: string,
  range?: { start: number; end: number },
  asStream = false,
): Promise<Blob | ReadableStream<Uint8Array>> {
  try {
    const file = asStream ? undefined : await objects.file?.(key)
    if (file) return range ? file.slice(range.start, range.end + 1) : file
    return (await objects.get(key, range && { range })).body
  } catch (error) {
    // Deleted between the look at the row and now.
    if (error instanceof ObjectNotFound) throw mediaErrors.notFound({ cause: error })
    throw error
  }
}

const wholeSeconds = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000)

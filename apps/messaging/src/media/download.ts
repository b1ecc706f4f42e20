import { type Caller, problemResponse } from '@conntext/http'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import { evaluate } from './conditions.ts'
import { contentDisposition, servedType } from './content-type.ts'
import { mediaErrors } from './errors.ts'
import { findObject } from './queries.ts'
import { type MediaDeps, visibleMedia } from './service.ts'
import type { MediaRow } from './shape.ts'

export type DownloadDeps = MediaDeps & { objects: ObjectStore }

/**
 * A file's bytes, or the part of them that is asked for, streamed as the client takes them.
 * @throws media.notFound (404)
 */
export async function downloadMedia(
  deps: DownloadDeps,
  caller: Caller,
  { id, headers }: { id: string; headers: Headers },
): Promise<Response> {
  const row = await visibleMedia(deps, caller, id)
  const representation = { etag: `"${row.sha256}"`, lastModified: wholeSeconds(row.createdAt), size: row.size }
  const decision = evaluate(headers, representation)
  const answer = commonHeaders(row, representation)
  const key = await keyOf(deps, row)
  switch (decision.status) {
    case 304:
      return new Response(null, { status: 304, headers: answer })
    case 412:
      return problemResponse(mediaErrors.changed(), caller.requestId)
    case 416:
      return unsatisfiable(row, caller)
    case 206: {
      const { start, end } = decision.range
      answer.set('content-range', `bytes ${start}-${end}/${row.size}`)
      answer.set('content-length', String(end - start + 1))
      return new Response(await open(deps.objects, key, decision.range), { status: 206, headers: answer })
    }
    case 200:
      answer.set('content-length', String(row.size))
      // With a Range that does not count here (If-Range), Bun would apply it to a file all the same.
      return new Response(await open(deps.objects, key, undefined, headers.has('range')), { headers: answer })
  }
}

/** Validators and caching, which a 304 restates too, and what keeps a browser from running the file. */
const commonHeaders = (row: MediaRow, { etag, lastModified }: { etag: string; lastModified: Date }) =>
  new Headers({
    etag,
    'last-modified': lastModified.toUTCString(),
    'cache-control': 'private',
    'accept-ranges': 'bytes',
    'content-type': servedType(row.contentType),
    'content-disposition': contentDisposition(row.contentType, row.filename),
    'x-content-type-options': 'nosniff',
    'content-security-policy': "sandbox; default-src 'none'",
  })

function unsatisfiable(row: MediaRow, caller: Caller): Response {
  const response = problemResponse(mediaErrors.rangeNotSatisfiable(), caller.requestId)
  response.headers.set('content-range', `bytes */${row.size}`)
  return response
}

async function keyOf({ db }: DownloadDeps, { objectId }: MediaRow): Promise<string> {
  const object = await findObject(db, objectId)
  if (!object) throw mediaErrors.notFound()
  return object.key
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

import type { Media } from '@conntext/contracts'
import type { Caller, Guard, Refused } from '@conntext/http'
import { type Logger, newId } from '@conntext/kernel'
import { type ObjectStore, ObjectStoreFull, ObjectTooLarge, type StoredObject } from '@conntext/object-store'
import { detectContentType, HEAD_BYTES } from './content-type.ts'
import { mediaErrors } from './errors.ts'
import { sanitiseFilename } from './filename.ts'
import { InFlight } from './in-flight.ts'
import { newObjectKey, type RecordingDeps, recordMedia } from './recording.ts'
import { bytesLeft } from './usage.ts'

export type UploadDeps = RecordingDeps & { objects: ObjectStore; guard: Guard; log: Logger; refused: Refused }
export type Upload = { request: Request; filename: string | undefined }

/**
 * Stores a request's body as a file of the caller's: streamed, so that memory doesn't grow with it. A client that
 * leaves half-way, and any other failure, leaves nothing behind. Whoever may no longer upload is cut off midway.
 * @throws media.tooLarge (413; before reading where the length is declared), media.quotaExceeded (409),
 * media.incomplete (400), media.storeFull, and what `InFlight` cuts off with
 */
export async function uploadMedia(deps: UploadDeps, caller: Caller, { request, filename }: Upload): Promise<Media> {
  const { maxFileBytes } = (await deps.guard.authority()).snapshot.server.limits
  const declared = declaredLength(request.headers)
  if (declared !== undefined && declared > maxFileBytes) throw tooLarge(maxFileBytes)
  const left = await bytesLeft(deps.db, caller.userId, { quotas: deps.quotas, wanted: declared ?? 0 })
  using inFlight = new InFlight(deps, caller, 'POST /v1/uploads')
  const id = newId()
  const objectKey = newObjectKey(id)
  const { stored, head } = await store(deps.objects, objectKey, {
    request,
    maxBytes: Math.min(maxFileBytes, left),
    cut: inFlight.signal,
  }).catch(async (error: unknown) => {
    if (!(error instanceof ObjectTooLarge)) throw error
    if (left < maxFileBytes) await bytesLeft(deps.db, caller.userId, { quotas: deps.quotas, wanted: left + 1 })
    throw tooLarge(maxFileBytes)
  })
  try {
    if (declared !== undefined && declared !== stored.size) throw mediaErrors.incomplete()
    const contentType = await detectContentType(head)
    await inFlight.assert()
    const { size, sha256 } = stored
    const arrived = { id, filename: sanitiseFilename(filename), contentType, stored: { key: objectKey, size, sha256 } }
    return await recordMedia(deps, caller, arrived)
  } catch (error) {
    await deps.objects
      .delete(objectKey)
      .catch((cause) => deps.log.warn({ err: cause, objectKey }, 'the object of a failed upload could not be removed'))
    throw error
  }
}

async function store(
  objects: ObjectStore,
  key: string,
  { request, maxBytes, cut }: { request: Request; maxBytes: number; cut: AbortSignal },
): Promise<{ stored: StoredObject; head: Uint8Array }> {
  const head = new Head()
  const body = request.body?.pipeThrough(head.stream) ?? new Uint8Array()
  try {
    const stored = await objects.put(key, body, { maxBytes, signal: AbortSignal.any([request.signal, cut]) })
    return { stored, head: head.bytes() }
  } catch (error) {
    cut.throwIfAborted()
    if (error instanceof ObjectStoreFull) throw mediaErrors.storeFull({ cause: error })
    // What the stream itself fails with is the client's going away.
    if (request.signal.aborted || isAbort(error)) throw mediaErrors.incomplete({ cause: error })
    throw error
  }
}

/** Keeps a stream's first bytes as they pass. */
class Head {
  readonly #kept = new Uint8Array(HEAD_BYTES)
  #length = 0

  readonly stream = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      const part = chunk.subarray(0, HEAD_BYTES - this.#length)
      this.#kept.set(part, this.#length)
      this.#length += part.length
      controller.enqueue(chunk)
    },
  })

  bytes(): Uint8Array {
    return this.#kept.subarray(0, this.#length)
  }
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError'

export const tooLarge = (bytes: number) => mediaErrors.tooLarge(`Files of up to ${bytes} bytes are taken here.`)

function declaredLength(headers: Headers): number | undefined {
  const length = headers.get('content-length')
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined
}

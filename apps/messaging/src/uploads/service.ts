import type { Upload } from '@conntext/contracts'
import { accessErrors, type Caller, requestErrors } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { ObjectStoreFull, ObjectTooLarge, type PendingUpload, WrongOffset } from '@conntext/object-store'
import { mediaErrors } from '../media/errors.ts'
import { sanitiseFilename } from '../media/filename.ts'
import { InFlight } from '../media/in-flight.ts'
import { newObjectKey } from '../media/recording.ts'
import { tooLarge, type UploadDeps } from '../media/upload.ts'
import { uploadErrors } from './errors.ts'
import { finish } from './finish.ts'
import type { Leases } from './lease.ts'
import { withChecked } from './part.ts'
import { PART_TYPE, readChecksum, readLength, readMetadata, readOffset } from './protocol.ts'
import { dropUploads, findUpload, insertUpload, postponeExpiry, type UploadRow } from './queries.ts'

const KEPT_MS = 24 * 60 * 60_000
const MOST_UNFINISHED = 100

export type ResumableDeps = UploadDeps & { leases: Leases }

/** Where an upload stands: with `offset` all of its bytes, it is a file. */
export type Progress = { row: UploadRow; offset: number }

/**
 * Begins an upload of the caller's. What it will take is set aside; a first part may come along.
 * @throws media.tooLarge (413), media.quotaExceeded, upload.tooMany (409), and what is wrong with the headers (400)
 */
export async function beginUpload(deps: ResumableDeps, caller: Caller, request: Request): Promise<Progress> {
  const size = readLength(request.headers)
  const { filename, metadata } = readMetadata(request.headers)
  const hasPart = request.body !== null && request.headers.get('content-length') !== '0'
  if (hasPart) assertPartType(request.headers)
  const { maxFileBytes } = (await deps.guard.authority()).snapshot.server.limits
  if (size > maxFileBytes) throw tooLarge(maxFileBytes)
  const row = await store(deps, caller, { size, filename: sanitiseFilename(filename), metadata })
  if (!hasPart && size > 0) return { row, offset: 0 }
  return addPart(deps, caller, row, { request, at: 0 })
}

async function store(
  { db, objects, clock, quotas }: ResumableDeps,
  caller: Caller,
  given: Pick<UploadRow, 'size' | 'filename' | 'metadata'>,
): Promise<UploadRow> {
  const id = newId()
  const key = newObjectKey(id)
  const handle = await objects.beginUpload(key)
  const createdAt = clock.now()
  const own = { id, ownerId: caller.userId, objectKey: key, handle, createdAt, expiresAt: expiryFrom(createdAt) }
  try {
    await db.transaction(async (tx) => {
      const outcome = await insertUpload(tx, { ...given, ...own }, { quotas, most: MOST_UNFINISHED })
      if (outcome === 'gone') throw accessErrors.unauthenticated()
      if (outcome === 'tooMany') throw uploadErrors.tooMany(`Finish or delete some: ${MOST_UNFINISHED} is the most.`)
    })
  } catch (error) {
    await objects.openUpload({ key, handle }).abort()
    throw error
  }
  return { ...given, ...own, finishedAt: null, lease: null, leasedUntil: null, wanted: false }
}

const expiryFrom = (now: Date): Date => new Date(now.getTime() + KEPT_MS)

/**
 * Adds a part to an upload; the last one makes it a file.
 * @throws upload.notFound (404), upload.wrongOffset (409), upload.locked (423), upload.checksumMismatch (460), media.tooLarge
 * (413), media.incomplete (400), media.storeFull (503), and what `InFlight` cuts off with
 */
export async function continueUpload(
  deps: ResumableDeps,
  caller: Caller,
  { id, request }: { id: string; request: Request },
): Promise<Progress> {
  assertPartType(request.headers)
  const at = readOffset(request.headers)
  const row = await existing(deps, caller, id)
  if (row.finishedAt === null) return addPart(deps, caller, row, { request, at })
  if (at !== row.size) throw wrongOffset(row.size)
  return { row, offset: row.size }
}

async function addPart(
  deps: ResumableDeps,
  caller: Caller,
  row: UploadRow,
  { request, at }: { request: Request; at: number },
): Promise<Progress> {
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (at + declared > row.size) {
    const offset = await deps.objects.openUpload({ key: row.objectKey, handle: row.handle }).offset()
    throw at === offset ? tooLong(row) : wrongOffset(offset)
  }
  await using lease = await deps.leases.take(row.id)
  using inFlight = new InFlight(deps, caller, `${request.method} /v1/uploads`)
  const cut = AbortSignal.any([inFlight.signal, lease.signal])
  const upload = deps.objects.openUpload({ key: row.objectKey, handle: row.handle })
  const offset = await append(upload, row, { request, at, cut })
  const expiresAt = expiryFrom(deps.clock.now())
  await postponeExpiry(deps.db, row.id, expiresAt)
  if (offset === row.size) await finish(deps, caller, { row, upload, inFlight })
  return { row: { ...row, expiresAt }, offset }
}

type Appending = { request: Request; at: number; cut: AbortSignal }

async function append(upload: PendingUpload, row: UploadRow, { request, at, cut }: Appending): Promise<number> {
  const checksum = readChecksum(request.headers)
  const signal = AbortSignal.any([request.signal, cut])
  const body = request.body ?? new Blob([]).stream()
  const add = (part: ReadableStream<Uint8Array>) => upload.append(part, { at, maxBytes: row.size - at, signal })
  try {
    return await (checksum ? withChecked(body, checksum, signal, add) : add(body))
  } catch (error) {
    cut.throwIfAborted()
    if (error instanceof WrongOffset) throw wrongOffset(error.offset)
    if (error instanceof ObjectTooLarge) throw tooLong(row)
    if (error instanceof ObjectStoreFull) throw mediaErrors.storeFull({ cause: error })
    // What the stream itself fails with is the client's going away.
    if (request.signal.aborted || isAbort(error)) throw mediaErrors.incomplete({ cause: error })
    throw error
  }
}

/**
 * Where an upload stands: never further than what would survive a power cut. With `takeOver`, whatever is still adding
 * to it is asked to let go, for whoever asks is about to go on.
 * @throws upload.notFound (404)
 */
export async function readUpload(
  deps: ResumableDeps,
  caller: Caller,
  { id, takeOver }: { id: string; takeOver: boolean },
): Promise<Progress> {
  const row = await existing(deps, caller, id)
  if (row.finishedAt !== null) return { row, offset: row.size }
  if (takeOver) await deps.leases.free(id)
  const upload = deps.objects.openUpload({ key: row.objectKey, handle: row.handle })
  const offset = await upload.offset()
  // All of it is there, and no file yet: whoever was to make it one has died.
  if (offset === row.size && takeOver) {
    await using _ = await deps.leases.take(id)
    using inFlight = new InFlight(deps, caller, 'HEAD /v1/uploads')
    await finish(deps, caller, { row, upload, inFlight })
  }
  return { row, offset }
}

/** Gives an upload up. @throws upload.notFound (404), upload.finished (409), upload.locked (423) */
export async function abandonUpload(deps: ResumableDeps, caller: Caller, id: string): Promise<void> {
  const row = await existing(deps, caller, id)
  if (row.finishedAt !== null) throw uploadErrors.finished()
  await deps.leases.free(id)
  await using _ = await deps.leases.take(id)
  await deps.db.transaction((tx) => dropUploads(tx, [id]))
  deps.nudge()
}

async function existing({ db, clock }: ResumableDeps, caller: Caller, id: string): Promise<UploadRow> {
  const row = await findUpload(db, { id, ownerId: caller.userId, now: clock.now() })
  if (!row) throw uploadErrors.notFound()
  return row
}

export const toUpload = ({ row, offset }: Progress): Upload => ({
  id: row.id,
  filename: row.filename,
  size: row.size,
  offset,
  expiresAt: row.expiresAt.toISOString(),
})

function assertPartType(headers: Headers): void {
  if (headers.get('content-type') !== PART_TYPE) throw requestErrors.wrongContentType(`Send ${PART_TYPE}.`)
}

const wrongOffset = (offset: number) => uploadErrors.wrongOffset(`The upload stands at ${offset}.`)
const tooLong = ({ size }: UploadRow) => mediaErrors.tooLarge(`The upload was to have ${size} bytes.`)
const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError'

import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { chunksOf } from '../body.ts'
import { ObjectTooLarge } from '../errors.ts'
import type { PutOptions } from '../object-store.ts'
import { errorCode, makeDirectories, storageError, syncDirectory } from './paths.ts'

export interface TemporaryFile {
  path: string
  size: number
  sha256: string
}

/**
 * Writes a body to a new file in `directory` and syncs it. On any failure the file is removed, the source is cancelled,
 * and the failure is thrown (`ObjectTooLarge`, `ObjectStoreFull`, the abort's reason, or the source's own error).
 */
export async function writeTemporary(
  directory: string,
  body: ReadableStream<Uint8Array> | Uint8Array,
  { maxBytes = Number.POSITIVE_INFINITY, signal }: PutOptions,
): Promise<TemporaryFile> {
  signal?.throwIfAborted()
  if (body instanceof Uint8Array && body.byteLength > maxBytes) throw new ObjectTooLarge(maxBytes)
  const path = join(directory, crypto.randomUUID())
  const file = await open(path, 'wx', 0o600).catch((error) => {
    throw storageError(error)
  })
  const hash = createHash('sha256')
  let size = 0
  try {
    for await (const chunk of chunksOf(body, signal)) {
      size += chunk.byteLength
      if (size > maxBytes) throw new ObjectTooLarge(maxBytes)
      hash.update(chunk)
      await writeAll(file, chunk)
    }
    await file.sync()
    await file.close()
    return { path, size, sha256: hash.digest('hex') }
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(path).catch(() => {})
    throw storageError(error)
  }
}

/** A write may store less than it was given, for one just before the disk is full. */
export async function writeAll(file: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength; ) {
    const at = position === undefined ? null : position + offset
    const { bytesWritten } = await file.write(chunk, offset, chunk.byteLength - offset, at)
    offset += bytesWritten
  }
}

/** Moves a finished file to its place, durably. On a failure it stays where it was. */
export async function moveIntoPlace(from: string, to: string, root: string): Promise<void> {
  await withDirectories(to, root, () => rename(from, to))
  await syncDirectory(dirname(to)).catch((error) => {
    // Deleted again already, together with its directory.
    if (errorCode(error) !== 'ENOENT') throw error
  })
}

/** Makes the directories of a path and then what goes into them, also when a `delete` prunes them in between. */
export async function withDirectories<T>(path: string, root: string, make: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      await makeDirectories(dirname(path), root)
      return await make()
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === 100) throw storageError(error)
    }
  }
}

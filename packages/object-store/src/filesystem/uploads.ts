import { createHash } from 'node:crypto'
import { type FileHandle, open, stat, unlink } from 'node:fs/promises'
import { chunksOf } from '../body.ts'
import { ObjectNotFound, ObjectTooLarge, WrongOffset } from '../errors.ts'
import { assertKey } from '../keys.ts'
import type { AppendOptions, PendingUpload, StoredObject, UploadAddress } from '../object-store.ts'
import { errorCode, objectPath, pruneDirectories, storageError, syncDirectory, toInfo } from './paths.ts'
import { openForReading, streamFile } from './read.ts'
import { walkKeys } from './walk.ts'
import { moveIntoPlace, withDirectories, writeAll } from './write.ts'

const HANDLE = /^[0-9a-f-]{36}$/

/** Where uploads in parts are, and where they go to. */
export type Places = { uploads: string; objects: string }

/** An upload is a file that grows: under its key, in a tree of their own, so that a directory never has too many. */
const uploadPath = (uploads: string, { key, handle }: UploadAddress): string => objectPath(uploads, `${key}/${handle}`)

export async function beginUpload({ uploads }: Places, key: string): Promise<string> {
  assertKey(key)
  const handle = crypto.randomUUID()
  const path = uploadPath(uploads, { key, handle })
  const file = await withDirectories(path, uploads, () => open(path, 'wx', 0o600))
  await file.close()
  await syncDirectory(path.slice(0, path.lastIndexOf('/')))
  return handle
}

export async function* listUploads({ uploads }: Places): AsyncGenerator<UploadAddress & { lastModified: Date }> {
  for await (const { key: name, path } of walkKeys(uploads, { prefix: '', after: '' })) {
    const slash = name.lastIndexOf('/')
    const stats = await stat(path).catch(() => undefined)
    if (stats) yield { key: name.slice(0, slash), handle: name.slice(slash + 1), lastModified: stats.mtime }
  }
}

export class UploadFile implements PendingUpload {
  readonly #path: string
  readonly #object: string

  constructor(
    private readonly places: Places,
    private readonly address: UploadAddress,
  ) {
    assertKey(address.key)
    // What is no handle of ours is one of no upload.
    const handle = HANDLE.test(address.handle) ? address.handle : 'none'
    this.#path = uploadPath(places.uploads, { key: address.key, handle })
    this.#object = objectPath(places.objects, address.key)
  }

  async offset(): Promise<number> {
    const file = await this.#open()
    if (!file) return (await this.#completed()).size
    try {
      // What a process that died has written is there, but not yet for good.
      await file.sync()
      return (await file.stat()).size
    } finally {
      await file.close()
    }
  }

  async append(body: ReadableStream<Uint8Array> | Uint8Array, options: AppendOptions): Promise<number> {
    const file = await this.#open()
    if (!file) throw new ObjectNotFound(this.address.key)
    try {
      const { size } = await file.stat()
      if (size !== options.at) throw new WrongOffset(size)
      try {
        return await write(file, body, options)
      } finally {
        await file.sync()
      }
    } catch (error) {
      throw storageError(error)
    } finally {
      await file.close()
    }
  }

  async complete(): Promise<StoredObject> {
    const file = await this.#open()
    if (file) {
      await file.sync().finally(() => file.close())
      await moveIntoPlace(this.#path, this.#object, this.places.objects)
      await pruneDirectories(this.#path, this.places.uploads)
    }
    const { size } = await this.#completed()
    const { etag } = toInfo(this.address.key, await stat(this.#object, { bigint: true }))
    return { size, sha256: await hashFile(this.#object, size), etag }
  }

  async abort(): Promise<void> {
    await unlink(this.#path).catch((error) => {
      if (errorCode(error) !== 'ENOENT') throw error
    })
    await pruneDirectories(this.#path, this.places.uploads)
  }

  async #open(): Promise<FileHandle | undefined> {
    return open(this.#path, 'r+').catch((error) => {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    })
  }

  async #completed() {
    return stat(this.#object).catch((error) => {
      throw errorCode(error) === 'ENOENT' ? new ObjectNotFound(this.address.key) : error
    })
  }
}

async function write(
  file: FileHandle,
  body: ReadableStream<Uint8Array> | Uint8Array,
  { at, maxBytes = Number.POSITIVE_INFINITY, signal }: AppendOptions,
): Promise<number> {
  const end = at + maxBytes
  let position = at
  for await (const chunk of chunksOf(body, signal)) {
    const fitting = chunk.subarray(0, end - position)
    await writeAll(file, fitting, position)
    position += fitting.byteLength
    if (fitting.byteLength < chunk.byteLength) throw new ObjectTooLarge(maxBytes)
  }
  return position
}

async function hashFile(path: string, size: number): Promise<string> {
  const hash = createHash('sha256')
  const file = await openForReading(path)
  for await (const chunk of streamFile(file, size === 0 ? undefined : { start: 0, end: size - 1 })) hash.update(chunk)
  return hash.digest('hex')
}

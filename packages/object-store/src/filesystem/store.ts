import { type BigIntStats, fstat } from 'node:fs'
import { readFile, stat, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { ObjectNotFound, ObjectStoreUnavailable } from '../errors.ts'
import { assertKey, assertPrefix } from '../keys.ts'
import type { ListOptions, ObjectInfo, ObjectPage, ObjectStore, PutOptions } from '../object-store.ts'
import { errorCode, makePrivateDirectory, objectPath, pruneDirectories, readEntries, toInfo } from './paths.ts'
import { openForReading, resolveRange, streamFile } from './read.ts'
import { beginUpload, listUploads, UploadFile } from './uploads.ts'
import { walkKeys } from './walk.ts'
import { moveIntoPlace, writeTemporary } from './write.ts'

const maxPage = 1000
const statDescriptor = promisify(fstat) as (descriptor: number, options: { bigint: true }) => Promise<BigIntStats>

/**
 * An object store in a directory of its own, which is made if missing (files 0600, directories 0700). Uploads are
 * written to `<root>/tmp`, or `<root>/uploads` where they arrive in parts, and renamed into `<root>/objects`: all must be
 * on one file system.
 * Throws `ObjectStoreUnavailable` when the directory can't be made or written.
 */
export async function openFilesystemStore(root: string): Promise<ObjectStore> {
  const objects = join(resolve(root), 'objects')
  const temporary = join(resolve(root), 'tmp')
  const uploads = join(resolve(root), 'uploads')
  try {
    for (const path of [resolve(root), objects, temporary, uploads]) await makePrivateDirectory(path)
  } catch (error) {
    throw new ObjectStoreUnavailable(`The object store's directory ${root} can't be used (${errorCode(error)})`, {
      cause: error,
    })
  }
  return {
    put: (key, body, options = {}) => put(objects, temporary, key, body, options),
    get: async (key, { range } = {}) => {
      const file = await openObject(objects, key)
      try {
        const info = toInfo(key, await statDescriptor(file.descriptor, { bigint: true }))
        const part = resolveRange(range, info.size)
        const contentLength = part ? part.end - part.start + 1 : 0
        return { ...info, range: part, contentLength, body: streamFile(file, part) }
      } catch (error) {
        await file.close()
        throw error
      }
    },
    file: async (key) => {
      await statObject(objects, key)
      return Bun.file(objectPath(objects, key))
    },
    head: async (key) => toInfo(key, await statObject(objects, key)),
    delete: (key) => remove(objects, key),
    list: (options = {}) => list(objects, options),
    beginUpload: (key) => beginUpload({ uploads, objects }, key),
    openUpload: (address) => new UploadFile({ uploads, objects }, address),
    listUploads: () => listUploads({ uploads, objects }),
    sweepTemporary: (olderThanMs) => sweep(temporary, olderThanMs),
    check: () => check(temporary),
  }
}

async function put(
  objects: string,
  temporary: string,
  key: string,
  body: ReadableStream<Uint8Array> | Uint8Array,
  options: PutOptions,
) {
  assertKey(key)
  const { path, size, sha256 } = await writeTemporary(temporary, body, options)
  // Taken before the rename, which keeps all it is made of: afterwards the path may already be somebody else's object.
  const { etag } = toInfo(key, await stat(path, { bigint: true }))
  await moveIntoPlace(path, objectPath(objects, key), objects).catch(async (error: unknown) => {
    await unlink(path).catch(() => {})
    throw error
  })
  return { size, sha256, etag }
}

async function openObject(objects: string, key: string) {
  assertKey(key)
  return openForReading(objectPath(objects, key)).catch((error) => {
    throw notFound(error, key)
  })
}

async function statObject(objects: string, key: string) {
  assertKey(key)
  return stat(objectPath(objects, key), { bigint: true }).catch((error) => {
    throw notFound(error, key)
  })
}

function notFound(error: unknown, key: string): unknown {
  return errorCode(error) === 'ENOENT' ? new ObjectNotFound(key) : error
}

async function remove(objects: string, key: string): Promise<void> {
  assertKey(key)
  const path = objectPath(objects, key)
  await unlink(path).catch((error) => {
    if (errorCode(error) !== 'ENOENT') throw error
  })
  await pruneDirectories(path, objects)
}

async function list(objects: string, { prefix = '', cursor = '', limit = maxPage }: ListOptions): Promise<ObjectPage> {
  assertPrefix(prefix)
  const wanted = Math.min(Math.max(1, Math.trunc(limit)), maxPage)
  const found: ObjectInfo[] = []
  for await (const { key, path } of walkKeys(objects, { prefix, after: cursor })) {
    if (found.length === wanted) return { objects: found, cursor: found.at(-1)!.key }
    const stats = await stat(path, { bigint: true }).catch(() => undefined)
    if (stats) found.push(toInfo(key, stats))
  }
  return { objects: found }
}

async function sweep(temporary: string, olderThanMs: number): Promise<number> {
  const limit = Date.now() - olderThanMs
  let removed = 0
  for (const { name } of await readEntries(temporary)) {
    const path = join(temporary, name)
    const stats = await stat(path).catch(() => undefined)
    // A running upload keeps its file's time fresh with each chunk.
    if (!stats || stats.mtimeMs > limit) continue
    await unlink(path).then(
      () => removed++,
      () => {},
    )
  }
  return removed
}

/** The probe stays among the temporary files, so that no listing ever shows it. */
async function check(temporary: string): Promise<void> {
  const probe = crypto.getRandomValues(new Uint8Array(64))
  const { path } = await writeTemporary(temporary, probe, {})
  try {
    const back = await readFile(path)
    if (!back.equals(probe)) throw new ObjectStoreUnavailable('The object store returned other bytes than were stored')
  } finally {
    await unlink(path)
  }
}

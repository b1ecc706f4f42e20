import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { chmod, mkdir, open, readdir, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ObjectStoreFull } from '../errors.ts'
import type { ObjectInfo } from '../object-store.ts'

/** Marks a directory that stands for a key's inner segment. No key has this character, so that `a` and `a/b` coexist. */
export const directoryMark = '+'

export function objectPath(objects: string, key: string): string {
  const segments = key.split('/')
  const file = segments.pop()!
  return join(objects, ...segments.map((segment) => segment + directoryMark), file)
}

/** Opens, syncs and closes a directory: a rename or a new entry in it then survives a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Like `mkdir -p` with mode 0700, and durable: each directory that is new gets its entry synced. */
export async function makeDirectories(path: string, root: string): Promise<void> {
  if (path === root || (await isDirectory(path))) return
  const parent = dirname(path)
  await makeDirectories(parent, root)
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
  await syncDirectory(parent)
}

export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  )
}

export async function readEntries(path: string): Promise<{ name: string; directory: boolean }[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true })
    return entries.map((entry) => ({ name: entry.name, directory: entry.isDirectory() }))
  } catch (error) {
    // Somebody removed the directory's last object while we were on the way to it.
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** A full disk or quota becomes `ObjectStoreFull`; anything else stays what it is. */
export function storageError(error: unknown): unknown {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' ? new ObjectStoreFull({ cause: error }) : error
}

/** The etag is made of what changes with every rename into place; content isn't read again for it. */
export function toInfo(key: string, stats: BigIntStats): ObjectInfo {
  const identity = `${stats.ino}:${stats.mtimeNs}:${stats.size}`
  const etag = createHash('sha256').update(identity).digest('hex').slice(0, 32)
  return { key, size: Number(stats.size), etag, lastModified: new Date(Number(stats.mtimeMs)) }
}

/** Removes the directories above a path that have become empty, up to the first that isn't (rmdir refuses it). */
export async function pruneDirectories(path: string, root: string): Promise<void> {
  for (let directory = dirname(path); directory !== root; directory = dirname(directory)) {
    try {
      await rmdir(directory)
    } catch {
      return
    }
  }
}

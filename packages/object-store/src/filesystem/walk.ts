import { join } from 'node:path'
import { directoryMark, readEntries } from './paths.ts'

interface Entry {
  /** Key of an object, or a directory's common beginning, with its slash. */
  key: string
  path: string
  directory: boolean
}

/**
 * All keys after `after` that begin with `prefix`, in order, with their paths. Enters only directories that can hold
 * such keys, so that a page costs the directories on its way and not the whole tree.
 */
export async function* walkKeys(
  path: string,
  { prefix, after }: { prefix: string; after: string },
  base = '',
): AsyncGenerator<{ key: string; path: string }> {
  for (const entry of await sortedEntries(path, base)) {
    if (!entry.directory) {
      if (entry.key > after && entry.key.startsWith(prefix)) yield { key: entry.key, path: entry.path }
      continue
    }
    const mayMatch = entry.key.startsWith(prefix) || prefix.startsWith(entry.key)
    // Every key below begins with `entry.key`: all of them are before the cursor unless the cursor is among them.
    const mayFollow = entry.key > after || after.startsWith(entry.key)
    if (mayMatch && mayFollow) yield* walkKeys(entry.path, { prefix, after }, entry.key)
  }
}

async function sortedEntries(path: string, base: string): Promise<Entry[]> {
  const entries = (await readEntries(path)).map(({ name, directory }) => ({
    key: base + (directory ? `${name.slice(0, -directoryMark.length)}/` : name),
    path: join(path, name),
    directory,
  }))
  // Comparing a directory with its slash gives the order of the full keys: `a`, `a-b`, `a/b`, `a0`.
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1))
}

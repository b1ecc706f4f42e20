import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmdirSync, statfsSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const BALLAST = 'ballast'
const BLOCK = new Uint8Array(1024 * 1024)

const run = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0

/** A file system of its own, of so many bytes, in memory. Undefined where this user may make none. */
export function mountSmallDisk(bytes: number) {
  const path = mkdtempSync(join(tmpdir(), 'conntext-small-disk-'))
  if (!run('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=1777`, 'conntext-test', path)) {
    rmdirSync(path)
    return undefined
  }
  return {
    path,
    free(): number {
      const { bavail, bsize } = statfsSync(path)
      return bavail * bsize
    },
    /** Fills it to the last byte. */
    fill(): void {
      const file = openSync(join(path, BALLAST), 'a')
      try {
        for (let size = BLOCK.length; size >= 1; ) {
          try {
            writeSync(file, BLOCK, 0, size)
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
            size = Math.floor(size / 16)
          }
        }
      } finally {
        closeSync(file)
      }
    },
    /** Makes room again. */
    clear(): void {
      unlinkSync(join(path, BALLAST))
    },
    [Symbol.dispose](): void {
      run('umount', '-l', path)
      rmdirSync(path)
    },
  }
}

export type SmallDisk = NonNullable<ReturnType<typeof mountSmallDisk>>

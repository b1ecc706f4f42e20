import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { type DirectoryLock, lockDirectory, lockFile } from './directory-lock.ts'
import { DataDirectoryUnusable, errorCode } from './errors.ts'

export interface Subdirectories {
  /** Absolute, symbolic links resolved. */
  readonly path: string
  /** Makes `<path>/<name>` with mode 0700 if missing, and returns its path. */
  subdirectory(name: string): string
}

export interface DataDirectory extends Subdirectories {
  /** Releases the lock. May be called more than once. */
  close(): void
  [Symbol.dispose](): void
}

/**
 * Opens the directory that one ConnText server keeps its data in, and locks it until `close()` or the end of the
 * process, however that comes. Makes it if missing, with mode 0700 (0711 for root, whose Postgres runs under another
 * account and has to pass through). Throws `DataDirectoryInUse` or `DataDirectoryUnusable`.
 */
export function openDataDirectory(path: string): DataDirectory {
  prepare(path)
  const real = realpathSync(path)
  const lock: DirectoryLock = lockDirectory(real, path)
  return {
    ...subdirectoriesOf(real),
    close: () => lock.release(),
    [Symbol.dispose]: () => lock.release(),
  }
}

/**
 * The data directory of a server that runs: without its lock, to look at and to change what the server bears to have
 * changed. Throws `DataDirectoryUnusable` where there is none, or it is another account's: what this one makes there
 * the server could not read.
 */
export function visitDataDirectory(path: string): Subdirectories {
  if (!existsSync(join(path, lockFile))) throw unusable(path, 'holds no ConnText data')
  const { uid } = statSync(path)
  if (process.getuid && process.getuid() !== uid) {
    throw unusable(path, `belongs to another account (uid ${uid}); run this under that account`)
  }
  return subdirectoriesOf(realpathSync(path))
}

const subdirectoriesOf = (real: string): Subdirectories => ({
  path: real,
  subdirectory(name) {
    if (!/^[a-z0-9][a-z0-9._-]*$/.test(name)) throw new TypeError(`Not a plain directory name: ${name}`)
    const subdirectory = join(real, name)
    mkdirSync(subdirectory, { recursive: true, mode: 0o700 })
    return subdirectory
  },
})

function prepare(path: string): void {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700
  try {
    mkdirSync(resolve(path), { recursive: true, mode })
  } catch (error) {
    // EEXIST and ENOTDIR: the path, or a part of it, is a file.
    throw unusable(path, `can't be created (${errorCode(error)})`, error)
  }
  const stats = statSync(path)
  if (!stats.isDirectory()) throw unusable(path, 'is not a directory')
  assertOurs(path, stats)
  close(path, stats, mode)
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw unusable(path, "can't be written", error)
  }
}

/** A typo such as `/tmp` or `/home` must not have its mode changed, nor get a database in its midst. */
function assertOurs(path: string, stats: Stats): void {
  const uid = process.getuid?.()
  if (uid !== undefined && uid !== 0 && stats.uid !== uid) {
    throw unusable(path, `belongs to another account (uid ${stats.uid}); run ConnText under that account, or chown it`)
  }
  let entries: string[]
  try {
    entries = readdirSync(path).filter((name) => name !== 'lost+found')
  } catch (error) {
    throw unusable(path, `can't be read (${errorCode(error)})`, error)
  }
  if (entries.length > 0 && !entries.includes(lockFile)) {
    throw unusable(path, 'is not empty and holds no ConnText data; choose an empty or a new directory')
  }
}

/** Takes away what group and others may do; some file systems ignore that, and then we refuse. */
function close(path: string, stats: Stats, mode: number): void {
  const tooWide = (candidate: Stats) => (candidate.mode & 0o777 & ~mode) !== 0
  if ((stats.mode & 0o777) === mode) return
  try {
    chmodSync(path, mode)
  } catch (error) {
    if (tooWide(stats)) throw unusable(path, `is open to other accounts; run: chmod 700 ${path}`, error)
  }
  if (tooWide(statSync(path))) {
    throw unusable(path, 'is open to other accounts, and its file system does not let us change that')
  }
}

function unusable(path: string, what: string, cause?: unknown): DataDirectoryUnusable {
  return new DataDirectoryUnusable(`The data directory ${path} ${what}.`, { cause })
}

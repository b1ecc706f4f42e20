import { Database } from 'bun:sqlite'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DataDirectoryInUse, DataDirectoryUnusable, errorCode } from './errors.ts'

export interface DirectoryLock {
  release(): void
}

export const lockFile = 'lock.db'
const holderFile = 'lock.pid'

/**
 * Databases of held locks. They must stay reachable: the garbage collector closes a forgotten one, and the lock goes
 * with it.
 */
const held = new Set<Database>()

/**
 * Locks a directory through SQLite, which has an exclusive lock on every platform; the kernel drops it with the
 * process. `shownPath` is for messages. Throws `DataDirectoryInUse`, also for a second lock in the same process.
 */
export function lockDirectory(directory: string, shownPath: string): DirectoryLock {
  const database = openExclusively(directory, shownPath)
  held.add(database)
  writeFileSync(join(directory, holderFile), `${process.pid}\n`, { mode: 0o600 })
  return {
    release() {
      if (!held.delete(database)) return
      rmSync(join(directory, holderFile), { force: true })
      database.run('ROLLBACK')
      database.close()
    },
  }
}

function openExclusively(directory: string, shownPath: string): Database {
  const file = join(directory, lockFile)
  let database: Database | undefined
  try {
    database = new Database(file, { create: true })
    chmodSync(file, 0o600)
    database.run('PRAGMA busy_timeout = 0')
    database.run('BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database?.close()
    if (errorCode(error) === 'SQLITE_BUSY') throw inUse(shownPath, readHolder(directory))
    throw new DataDirectoryUnusable(`The data directory ${shownPath} can't be locked (${errorCode(error)}).`, {
      cause: error,
    })
  }
}

function readHolder(directory: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(directory, holderFile), 'utf8'), 10) || undefined
  } catch {
    return undefined
  }
}

function inUse(path: string, holder: number | undefined): DataDirectoryInUse {
  const who = holder === undefined ? '' : ` (process ${holder})`
  return new DataDirectoryInUse(
    `The data directory ${path} is in use by another ConnText server${who}. ` +
      'Stop it first, or set CONNTEXT_DATA to another directory.',
    holder,
  )
}

import {
  COMMUNICATIONS,
  type Communications,
  migrateCommunications,
  openCommunications,
} from '@conntext/db-communications'
import {
  migrateServerDetails,
  openServerDetails,
  SERVER_DETAILS,
  type ServerDetails,
} from '@conntext/db-server-details'
import {
  type DataDirectory,
  DataDirectoryInUse,
  findPostgresOf,
  openDataDirectory,
  type Subdirectories,
  startPostgres,
  visitDataDirectory,
} from '@conntext/embedded'
import { StartError } from '@conntext/kernel'
import type { MasterKey } from '@conntext/keyring'
import { isFirstStart, masterKeys } from '../master-key.ts'
import { postgresOf } from '../stores.ts'

/** The server that a command is for. */
export type Place = {
  data: Subdirectories
  /** Whether it runs: then its services go on writing, with the keys that they know. */
  running: boolean
  /** The Server Details database, as its superuser. */
  db: ServerDetails
  masterKey: MasterKey
  /** The Communication database, as its superuser. */
  openCommunications(): Promise<{ db: Communications } & AsyncDisposable>
  close(): Promise<void>
}

// A server that starts has the directory before its Postgres answers.
const POSTGRES_WITHIN_MS = 15_000

/**
 * Reaches the databases of the server in `path`: those of the running one, or with an engine of this command's own,
 * which keeps a server from starting meanwhile.
 * @throws StartError, EmbeddedError
 */
export async function openPlace(path: string): Promise<Place> {
  const data = visitDataDirectory(path)
  if (isFirstStart(data)) {
    throw new StartError(`The server in ${path} has not been started to the end yet: start it once first.`)
  }
  const lock = lockUnlessRunning(path)
  try {
    const { url, stop } = lock ? await startEngine(data) : await runningEngine(data)
    const db = openServerDetails({ url: url(SERVER_DETAILS), poolSize: 10, applicationName: 'conntext command' })
    return {
      data,
      running: lock === undefined,
      db,
      masterKey: () => masterKeys(data),
      async openCommunications() {
        // A running server has brought it up to date itself.
        if (lock) await migrateCommunications(url(COMMUNICATIONS))
        const communications = openCommunications({
          url: url(COMMUNICATIONS),
          poolSize: 4,
          applicationName: 'conntext command',
        })
        return { db: communications, [Symbol.asyncDispose]: () => communications.close() }
      },
      async close() {
        await db.close()
        await stop()
        lock?.close()
      },
    }
  } catch (error) {
    lock?.close()
    throw error
  }
}

function lockUnlessRunning(path: string): DataDirectory | undefined {
  try {
    return openDataDirectory(path)
  } catch (error) {
    if (error instanceof DataDirectoryInUse) return undefined
    throw error
  }
}

async function startEngine(data: Subdirectories) {
  const { url, stop } = await startPostgres(postgresOf(data))
  try {
    await migrateServerDetails(url(SERVER_DETAILS))
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function runningEngine(data: Subdirectories) {
  const { directory, superuserPassword } = postgresOf(data)
  const deadline = performance.now() + POSTGRES_WITHIN_MS
  for (;;) {
    const found = findPostgresOf(directory, superuserPassword)
    if (found) return { url: found.url, stop: async () => {} }
    if (performance.now() > deadline) {
      throw new StartError('A server has the data directory, but its database does not answer. Is it stopping?')
    }
    await Bun.sleep(100)
  }
}

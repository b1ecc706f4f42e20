import type { Audit } from '@conntext/db-audit'
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
import { type Environment, type Logger, StartError } from '@conntext/kernel'
import type { MasterKey } from '@conntext/keyring'
import type { ObjectStore } from '@conntext/object-store'
import { loadConfig, type ServerConfig } from '../config.ts'
import { changeMasterKey, isFirstStart, masterKeys, type Transaction } from '../master-key.ts'
import { openAuditAlone, openObjects, postgresOf } from '../stores.ts'
import { isSplit, openSplitPlace } from './split-place.ts'

/** The server that a command is for. */
export type Place = {
  /** Whether it runs: then its services go on writing, with the keys that they know. */
  running: boolean
  /** The Server Details database, as its superuser. */
  db: ServerDetails
  masterKey: MasterKey
  /**
   * Answers what wraps all data keys under a new master key, in one transaction with what `within` writes, and tells
   * what to say of it.
   * @throws StartError where there is no new one to be had
   */
  masterKeyChange(): (within: (tx: Transaction) => Promise<void>) => Promise<string>
  /** URLs of both databases, as the superuser. */
  urls: { serverDetailsUrl: string; communicationsUrl: string }
  /** Where the files are. */
  openObjects(): Promise<ObjectStore>
  /** The Audit database, where no server runs that has it. */
  openAudit(log: Logger): Promise<Audit & AsyncDisposable>
  /** The Communication database, as its superuser. */
  openCommunications(): Promise<{ db: Communications } & AsyncDisposable>
  close(): Promise<void>
}

// A server that starts has the directory before its Postgres answers.
const POSTGRES_WITHIN_MS = 15_000

/**
 * The server that the environment is about: the split deployment whose Postgres it names, else the one in the data
 * directory.
 * @throws ConfigError, StartError, EmbeddedError
 */
export const openPlace = (environment: Environment): Promise<Place> =>
  isSplit(environment) ? openSplitPlace(environment) : openDataPlace(loadConfig(environment))

/**
 * Reaches the databases of the server in a data directory: those of the running one, or with an engine of this command's
 * own, which keeps a server from starting meanwhile.
 * @throws StartError, EmbeddedError
 */
export async function openDataPlace(config: ServerConfig): Promise<Place> {
  const path = config.data
  const data = visitDataDirectory(path)
  if (isFirstStart(data)) {
    throw new StartError(`The server in ${path} has not been started to the end yet: start it once first.`)
  }
  const lock = lockUnlessRunning(path)
  try {
    const { url, stop } = lock ? await startEngine(data) : await runningEngine(data)
    const db = openServerDetails({ url: url(SERVER_DETAILS), poolSize: 10, applicationName: 'conntext command' })
    return {
      running: lock === undefined,
      db,
      urls: { serverDetailsUrl: url(SERVER_DETAILS), communicationsUrl: url(COMMUNICATIONS) },
      masterKey: () => masterKeys(data),
      masterKeyChange: () => async (within) => {
        await changeMasterKey(data, db, within)
        return 'older backups need the old one, which is no longer here'
      },
      openObjects: () => openObjects({ config, data }),
      async openAudit(log) {
        if (!lock) throw new StartError('The running server has the audit database.')
        return openAuditAlone({ config, data, log })
      },
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

import { existsSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  assertRestorable,
  BackupError,
  restoreBackup,
  type Secret,
  type VerifiedBackup,
  verifyBackup,
} from '@conntext/backup'
import type { Audit } from '@conntext/db-audit'
import { COMMUNICATIONS, migrateCommunications, migrateCommunicationsTo } from '@conntext/db-communications'
import {
  migrateServerDetails,
  migrateServerDetailsTo,
  openServerDetails,
  SERVER_DETAILS,
} from '@conntext/db-server-details'
import { openDataDirectory, type Subdirectories, startPostgres } from '@conntext/embedded'
import { recordRestored } from '@conntext/system/admin'
import type { ServerConfig } from '../../config.ts'
import { makeDatabases } from '../../databases.ts'
import { masterKeys, restoringMark } from '../../master-key.ts'
import { openAuditAlone, openObjects, postgresOf } from '../../stores.ts'
import type { Told } from './create.ts'
import { known } from './known.ts'
import type { BackupFile } from './source.ts'

export type Restoring = { file: BackupFile; secret: Secret; masterKeys: Uint8Array[] | undefined }

const STORES = ['postgres', 'clickhouse', 'media']

/**
 * Fills an empty data directory with engines of this command's own. Whenever it is cut short, no server starts on what is
 * there, and it can be repeated.
 * @throws BackupError, EmbeddedError
 */
export async function restoreToData(
  config: ServerConfig,
  given: Restoring,
  { log, say }: Told,
): Promise<VerifiedBackup> {
  using data = openDataDirectory(config.data)
  const mark = restoringMark(data)
  if (!existsSync(mark)) await assertEmptyDirectory(data)
  const keys = given.masterKeys ?? masterKeys(data)
  if (keys.length === 0) {
    throw new BackupError(
      `Restoring takes the master key: give --master-key FILE, or put it into ${join(data.path, 'secrets', 'master-key')}.`,
    )
  }
  say('reading the backup')
  const verified = await given.file.read('MiB read', (sealed) => verifyBackup(sealed, given.secret))
  assertRestorable(verified, { known, masterKeys: keys })
  await writeFile(mark, verified.header.id, { flush: true })
  try {
    await removeStores(data)
    say('restoring it')
    await fill(config, data, { ...given, verified, log })
    if (given.masterKeys) {
      const text = Buffer.from(given.masterKeys[0]!).toString('base64url')
      await writeFile(join(data.subdirectory('secrets'), 'master-key'), `${text}\n`, { mode: 0o600, flush: true })
    }
  } catch (error) {
    await removeStores(data)
    await rm(mark, { force: true })
    throw error
  }
  await rm(mark, { force: true })
  return verified
}

async function assertEmptyDirectory(data: Subdirectories): Promise<void> {
  for (const store of STORES) {
    const found = await readdir(join(data.path, store)).catch(() => [])
    if (found.length > 0) {
      throw new BackupError(
        `There is a server in ${data.path} already (${store}): a backup is restored into an empty data directory.`,
      )
    }
  }
}

async function removeStores(data: Subdirectories): Promise<void> {
  for (const store of STORES) await rm(join(data.path, store), { recursive: true, force: true })
}

type Filling = Restoring & { verified: VerifiedBackup; log: Told['log'] }

async function fill(
  config: ServerConfig,
  data: Subdirectories,
  { file, secret, verified, log }: Filling,
): Promise<void> {
  const engine = await startPostgres(postgresOf(data))
  try {
    await makeDatabases(engine.url('postgres'))
    const urls = { communications: engine.url(COMMUNICATIONS), serverDetails: engine.url(SERVER_DETAILS) }
    await using audit = await openAuditAlone({ config, data, log })
    await assertEmptyAudit(audit)
    const objects = await openObjects({ config, data })
    await restoreInto({ urls, audit, objects }, { file, secret, verified })
  } finally {
    await engine.stop()
  }
}

type Into = Parameters<typeof restoreBackup>[2]

/** Brings the schemas to where they were, fills them, and brings them to where they are now. */
export async function restoreInto(
  into: Into,
  { file, secret, verified }: Pick<Filling, 'file' | 'secret' | 'verified'>,
): Promise<void> {
  const { header, snapshot, manifest } = verified
  const { urls } = into
  await migrateCommunicationsTo(urls.communications, snapshot.migrations.communications.at(-1)!.at)
  await migrateServerDetailsTo(urls.serverDetails, snapshot.migrations.serverDetails.at(-1)!.at)
  await file.read('MiB restored', (sealed) => restoreBackup(sealed, secret, into))
  await migrateCommunications(urls.communications)
  await migrateServerDetails(urls.serverDetails)
  const db = openServerDetails({ url: urls.serverDetails, poolSize: 1, applicationName: 'conntext restore' })
  try {
    const restored = {
      madeAt: snapshot.at.serverDetails,
      release: header.release,
      missingObjects: manifest.missing.length,
    }
    await db.transaction((tx) => recordRestored(tx, header.id, restored))
  } finally {
    await db.close()
  }
}

/** Rows of people are nobody's to overwrite; what a server says at its first start is. @throws BackupError */
export async function assertEmptyAudit(audit: Audit): Promise<void> {
  const sql = "SELECT toUInt32(count()) AS events FROM events WHERE actor_kind IN ('user', 'bot')"
  const [row] = await audit.rows<{ events: number }>({ sql, params: {} })
  if (Number(row!.events) > 0) {
    throw new BackupError(
      `ClickHouse has ${row!.events} audit events of another server, or of a restore that was cut short: drop its ` +
        'database "audit" if nobody needs them.',
    )
  }
  await audit.mutate({ sql: 'TRUNCATE TABLE events', params: {} })
}

import { assertEmpty, assertRestorable, BackupError, type VerifiedBackup, verifyBackup } from '@conntext/backup'
import { AUDIT_DATABASE, migrateAudit, openAudit } from '@conntext/db-audit'
import { COMMUNICATIONS } from '@conntext/db-communications'
import { openServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'
import { type Environment, parseConfig, readEnvironment } from '@conntext/kernel'
import { messagingRules, messagingSettings, toMessagingConfig } from '@conntext/messaging/settings'
import { MasterKeySetting, masterKeysOf, withPassword } from '@conntext/runtime'
import { clickHouseSettings } from '@conntext/system/settings'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { makeDatabases, urlBeside } from '../../databases.ts'
import { openBucket } from '../../stores.ts'
import { migrateSettings } from '../migrate.ts'
import type { Told } from './create.ts'
import { assertEmptyAudit, type Restoring, restoreInto } from './data.ts'
import { known } from './known.ts'

const Settings = Type.Object({
  ...messagingSettings,
  ...clickHouseSettings,
  CONNTEXT_CLICKHOUSE_URL: Type.Optional(clickHouseSettings.CONNTEXT_CLICKHOUSE_URL, false),
  CONNTEXT_POSTGRES_ADMIN_URL: migrateSettings.properties.CONNTEXT_POSTGRES_ADMIN_URL,
  CONNTEXT_POSTGRES_ADMIN_PASSWORD: migrateSettings.properties.CONNTEXT_POSTGRES_ADMIN_PASSWORD,
  CONNTEXT_MASTER_KEY: Type.Optional(MasterKeySetting),
})

/**
 * Fills the engines of a split deployment, none of whose services runs. What is there of an empty server is made anew;
 * a restore that fails leaves no tables at all.
 * @throws BackupError, ConfigError
 */
export async function restoreToEngines(
  environment: Environment,
  { file, secret, masterKeys }: Restoring,
  { log, say }: Told,
): Promise<VerifiedBackup> {
  const env = parseConfig(Settings, readEnvironment(environment), messagingRules)
  const keys = masterKeys ?? (env.CONNTEXT_MASTER_KEY === undefined ? [] : masterKeysOf(env.CONNTEXT_MASTER_KEY))
  if (keys.length === 0) throw new BackupError('Restoring takes the master key: set CONNTEXT_MASTER_KEY.')
  const { s3 } = toMessagingConfig(env)
  if (!s3) throw new BackupError('Restoring takes the object store: set CONNTEXT_S3_ENDPOINT and what belongs to it.')
  const admin = withPassword(env.CONNTEXT_POSTGRES_ADMIN_URL, env.CONNTEXT_POSTGRES_ADMIN_PASSWORD)
  await makeDatabases(admin)
  const url = urlBeside(admin)
  const urls = { communications: url(COMMUNICATIONS), serverDetails: url(SERVER_DETAILS) }
  await assertEmpty(urls)
  const connection = {
    url: env.CONNTEXT_CLICKHOUSE_URL,
    username: env.CONNTEXT_CLICKHOUSE_USER,
    password: env.CONNTEXT_CLICKHOUSE_PASSWORD,
    database: AUDIT_DATABASE,
    log,
  }
  await migrateAudit(connection)
  const audit = openAudit(connection)
  try {
    await assertEmptyAudit(audit)
    say('reading the backup')
    const verified = await file.read('MiB read', (sealed) => verifyBackup(sealed, secret))
    assertRestorable(verified, { known, masterKeys: keys })
    const objects = await openBucket(s3)
    say('restoring it')
    for (const one of Object.values(urls)) await removeSchema(one)
    try {
      await restoreInto({ urls, audit, objects }, { file, secret, verified })
    } catch (error) {
      for (const one of Object.values(urls)) await removeSchema(one)
      await audit.mutate({ sql: 'TRUNCATE TABLE events', params: {} })
      throw error
    }
    return verified
  } finally {
    await audit.close()
  }
}

/** Of a database that has been seen to be empty of people's data. */
async function removeSchema(url: string): Promise<void> {
  const db = openServerDetails({ url, poolSize: 1, applicationName: 'conntext restore' })
  try {
    for (const name of ['public', 'drizzle'])
      await db.execute(sql`drop schema if exists ${sql.identifier(name)} cascade`)
    await db.execute(sql`create schema public`)
  } finally {
    await db.close()
  }
}

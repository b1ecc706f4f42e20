import { COMMUNICATIONS, openCommunications } from '@conntext/db-communications'
import { openServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'
import { type Environment, parseConfig, readEnvironment, StartError } from '@conntext/kernel'
import { messagingRules, messagingSettings, toMessagingConfig } from '@conntext/messaging/settings'
import { MasterKeySetting, masterKeysOf, withPassword } from '@conntext/runtime'
import { Type } from '@sinclair/typebox'
import { urlBeside } from '../databases.ts'
import { wrapAnew } from '../master-key.ts'
import { openBucket } from '../stores.ts'
import { migrateSettings } from './migrate.ts'
import type { Place } from './place.ts'

const ADMIN = 'CONNTEXT_POSTGRES_ADMIN_URL'

const Settings = Type.Object({
  ...messagingSettings,
  CONNTEXT_POSTGRES_ADMIN_URL: migrateSettings.properties.CONNTEXT_POSTGRES_ADMIN_URL,
  CONNTEXT_POSTGRES_ADMIN_PASSWORD: migrateSettings.properties.CONNTEXT_POSTGRES_ADMIN_PASSWORD,
  CONNTEXT_MASTER_KEY: Type.Optional(MasterKeySetting),
})

/** Whether the environment is about a split deployment. */
export function isSplit(environment: Environment): boolean {
  const env = readEnvironment(environment)
  return Boolean(env[ADMIN] || env[`${ADMIN}_FILE`])
}

/**
 * Reaches the databases of a split deployment, as `conntext migrate` does. Its services count as running.
 * @throws ConfigError; StartError, later, where a command needs what the environment doesn't give
 */
export async function openSplitPlace(environment: Environment): Promise<Place> {
  const env = parseConfig(Settings, readEnvironment(environment), messagingRules)
  const admin = withPassword(env.CONNTEXT_POSTGRES_ADMIN_URL, env.CONNTEXT_POSTGRES_ADMIN_PASSWORD)
  const url = urlBeside(admin)
  const applicationName = 'conntext command'
  const db = openServerDetails({ url: url(SERVER_DETAILS), poolSize: 10, applicationName })
  const masterKeys = () => {
    if (env.CONNTEXT_MASTER_KEY === undefined)
      throw new StartError('This takes the master key: set CONNTEXT_MASTER_KEY.')
    return masterKeysOf(env.CONNTEXT_MASTER_KEY)
  }
  return {
    running: true,
    db,
    urls: { serverDetailsUrl: url(SERVER_DETAILS), communicationsUrl: url(COMMUNICATIONS) },
    masterKey: masterKeys,
    masterKeyChange() {
      const keys = masterKeys()
      const [to] = keys.slice(1)
      if (!to) {
        throw new StartError(
          'Set CONNTEXT_MASTER_KEY to the present key and the new one, for auth and system too, and restart them first.',
        )
      }
      return async (within) => {
        await wrapAnew(db, { from: keys, to }, within)
        return 'once CONNTEXT_MASTER_KEY is that one alone everywhere, older backups alone need the old one'
      }
    },
    async openObjects() {
      const { s3 } = toMessagingConfig(env)
      if (!s3) throw new StartError('This takes the object store: set CONNTEXT_S3_ENDPOINT and what belongs to it.')
      return openBucket(s3)
    },
    openAudit: () => Promise.reject(new StartError('The running services have the audit database.')),
    async openCommunications() {
      const communications = openCommunications({ url: url(COMMUNICATIONS), poolSize: 4, applicationName })
      return { db: communications, [Symbol.asyncDispose]: () => communications.close() }
    },
    close: () => db.close(),
  }
}

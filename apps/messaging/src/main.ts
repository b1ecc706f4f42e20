import { assertCommunicationsMigrated, openCommunications } from '@conntext/db-communications'
import { databaseSettings, runService, startGuard, withPassword } from '@conntext/runtime'
import { Type } from '@sinclair/typebox'
import manifest from '../package.json'
import { createMessagingService, messagingRules, messagingSettings, openBucket, toMessagingConfig } from './service.ts'

await runService({
  name: 'messaging',
  port: 8083,
  version: manifest.version,
  neighbours: ['auth', 'system'],
  settings: {
    ...messagingSettings,
    ...databaseSettings('CONNTEXT_COMMUNICATIONS_URL', 'conntext_messaging'),
    CONNTEXT_S3_ENDPOINT: Type.Optional(messagingSettings.CONNTEXT_S3_ENDPOINT, false),
  },
  rules: messagingRules,
  async create(process) {
    const { settings, bus, log, credentials, ports, closing, untilThere } = process
    const url = withPassword(settings.CONNTEXT_COMMUNICATIONS_URL, settings.CONNTEXT_DATABASE_PASSWORD)
    const db = openCommunications({ url, applicationName: 'conntext messaging', poolSize: 16 })
    await closing('database', () => db.close())
    const { s3, quotas, webhookRate } = toMessagingConfig(settings)
    await untilThere('Postgres', () => db.check())
    await untilThere('the schema', () => assertCommunicationsMigrated(db))
    const objects = await untilThere('the object store', () => openBucket(s3!))
    const guard = await startGuard(process)
    return createMessagingService({
      ...{ db, objects, quotas, webhookRate, bus, log, guard },
      ...ports,
      credential: credentials.shown,
    })
  },
})

import { AUDIT_DATABASE, openAudit } from '@conntext/db-audit'
import { assertServerDetailsMigrated, openServerDetails } from '@conntext/db-server-details'
import {
  databaseSettings,
  MasterKeySetting,
  masterKeysOf,
  runService,
  startGuard,
  withPassword,
} from '@conntext/runtime'
import { Type } from '@sinclair/typebox'
import manifest from '../package.json'
import {
  auditSettings,
  backupRules,
  backupSettings,
  backupSourceRules,
  backupSourceSettings,
  clickHouseSettings,
  createSystemService,
  openBackupPlace,
} from './service.ts'

await runService({
  name: 'system',
  port: 8082,
  version: manifest.version,
  neighbours: ['auth', 'messaging', 'realtime'],
  settings: {
    ...auditSettings,
    ...clickHouseSettings,
    ...backupSettings,
    ...backupSourceSettings,
    ...databaseSettings('CONNTEXT_SERVER_DETAILS_URL', 'conntext_system'),
    CONNTEXT_CLICKHOUSE_URL: Type.Optional(clickHouseSettings.CONNTEXT_CLICKHOUSE_URL, false),
    CONNTEXT_MASTER_KEY: MasterKeySetting,
  },
  rules: [...backupRules, ...backupSourceRules],
  async create(process) {
    const { settings, bus, log, logs, credentials, ports, closing, untilThere } = process
    const url = withPassword(settings.CONNTEXT_SERVER_DETAILS_URL, settings.CONNTEXT_DATABASE_PASSWORD)
    const db = openServerDetails({ url, applicationName: 'conntext system' })
    await closing('database', () => db.close())
    const audit = openAudit({
      url: settings.CONNTEXT_CLICKHOUSE_URL,
      username: settings.CONNTEXT_CLICKHOUSE_USER,
      password: settings.CONNTEXT_CLICKHOUSE_PASSWORD,
      database: AUDIT_DATABASE,
      log,
    })
    await closing('audit', () => audit.close())
    await untilThere('Postgres', () => db.check())
    await untilThere('the schema', () => assertServerDetailsMigrated(db))
    await untilThere('ClickHouse', () => audit.check())
    const service = createSystemService({
      backups: openBackupPlace(settings, withPassword),
      checkpointDirectory: settings.CONNTEXT_AUDIT_CHECKPOINT_DIRECTORY,
      db,
      audit,
      bus,
      log,
      guard: await startGuard(process),
      masterKey: () => masterKeysOf(settings.CONNTEXT_MASTER_KEY),
      ...ports,
      credential: credentials.shown,
      version: manifest.version,
    })
    logs.deliverTo(async (request) => service.logs.take(request))
    await closing('logs', async () => {
      await logs.stop()
      await service.logs.stop()
    })
    return service
  },
})

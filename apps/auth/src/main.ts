import { assertServerDetailsMigrated, openServerDetails } from '@conntext/db-server-details'
import { createConsoleMailer, createSmtpMailer } from '@conntext/mailer'
import { databaseSettings, MasterKeySetting, masterKeysOf, runService, withPassword } from '@conntext/runtime'
import manifest from '../package.json'
import { authRules, authSettings, createAuthService, SetupCode, toAuthConfig } from './service.ts'

await runService({
  name: 'auth',
  port: 8081,
  version: manifest.version,
  neighbours: ['system', 'messaging'],
  settings: {
    ...authSettings,
    ...databaseSettings('CONNTEXT_SERVER_DETAILS_URL', 'conntext_auth'),
    CONNTEXT_MASTER_KEY: MasterKeySetting,
    CONNTEXT_SETUP_CODE: SetupCode,
  },
  rules: authRules,
  async create({ settings, bus, log, credentials, ports, closing, untilThere }) {
    const url = withPassword(settings.CONNTEXT_SERVER_DETAILS_URL, settings.CONNTEXT_DATABASE_PASSWORD)
    const db = openServerDetails({ url, applicationName: 'conntext auth' })
    await closing('database', () => db.close())
    await untilThere('Postgres', () => db.check())
    await untilThere('the schema', () => assertServerDetailsMigrated(db))
    const { publicUrl, oidcReturnOrigins, webauthn, smtp } = toAuthConfig(settings, {
      publicUrl: 'http://localhost:8080',
    })
    return createAuthService({
      db,
      bus,
      log,
      masterKey: () => masterKeysOf(settings.CONNTEXT_MASTER_KEY),
      setupCode: async () => settings.CONNTEXT_SETUP_CODE,
      ...ports,
      credential: credentials.shown,
      publicUrl,
      oidc: { returnOrigins: oidcReturnOrigins },
      webauthn,
      mailer: smtp ? createSmtpMailer(smtp) : createConsoleMailer(console.log),
    })
  },
})

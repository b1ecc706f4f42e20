import { AUDIT_DATABASE, migrateAudit } from '@conntext/db-audit'
import { type Environment, type Logger, parseConfig, readEnvironment, StartError } from '@conntext/kernel'
import { Stopped, untilThere, withPassword } from '@conntext/runtime'
import { clickHouseSettings } from '@conntext/system/settings'
import { Type } from '@sinclair/typebox'
import { makeDatabases, prepareDatabases, urlBeside } from '../databases.ts'

const Password = Type.String({ minLength: 8, expects: 'at least 8 characters' })

export const migrateSettings = Type.Object({
  ...clickHouseSettings,
  CONNTEXT_CLICKHOUSE_URL: Type.Optional(clickHouseSettings.CONNTEXT_CLICKHOUSE_URL, false),
  CONNTEXT_POSTGRES_ADMIN_URL: Type.String({
    pattern: '^postgres(ql)?://[^\\s/]+(/[^\\s/]*)?$',
    expects: 'a URL such as postgres://postgres@host/postgres',
  }),
  CONNTEXT_POSTGRES_ADMIN_PASSWORD: Type.Optional(Type.String()),
  CONNTEXT_AUTH_DATABASE_PASSWORD: Password,
  CONNTEXT_SYSTEM_DATABASE_PASSWORD: Password,
  CONNTEXT_MESSAGING_DATABASE_PASSWORD: Password,
  CONNTEXT_REALTIME_DATABASE_PASSWORD: Password,
  CONNTEXT_BACKUP_DATABASE_PASSWORD: Type.Optional(Password),
})

const WITHIN_MS = 60_000

export type Told = { say(line: string): void; log: Logger }

/**
 * Makes what the services of a split deployment find in their engines: databases, schemas, and a user for each service,
 * with the password that is given here and the rights that it needs. May be repeated, and run by two at once; waits for
 * engines that are still starting.
 * @throws ConfigError with every fault; StartError where an engine can't be reached in time
 */
export async function migrate(environment: Environment, { say, log }: Told): Promise<void> {
  const env = parseConfig(migrateSettings, readEnvironment(environment))
  const waiting = { say, signal: AbortSignal.timeout(WITHIN_MS) }
  const admin = withPassword(env.CONNTEXT_POSTGRES_ADMIN_URL, env.CONNTEXT_POSTGRES_ADMIN_PASSWORD)
  const reach = <T>(what: string, attempt: () => Promise<T>) =>
    untilThere(what, attempt, waiting).catch((error: unknown) => {
      throw error instanceof Stopped ? new StartError(`${what} can't be reached`) : error
    })
  await reach('Postgres', () => makeDatabases(admin))
  await prepareDatabases(urlBeside(admin), {
    auth: env.CONNTEXT_AUTH_DATABASE_PASSWORD,
    system: env.CONNTEXT_SYSTEM_DATABASE_PASSWORD,
    messaging: env.CONNTEXT_MESSAGING_DATABASE_PASSWORD,
    realtime: env.CONNTEXT_REALTIME_DATABASE_PASSWORD,
    backup: env.CONNTEXT_BACKUP_DATABASE_PASSWORD,
  })
  say('the schemas in Postgres are up to date')
  say("the services' users have their passwords and rights")
  const audit = {
    url: env.CONNTEXT_CLICKHOUSE_URL,
    username: env.CONNTEXT_CLICKHOUSE_USER,
    password: env.CONNTEXT_CLICKHOUSE_PASSWORD,
    database: AUDIT_DATABASE,
    log,
  }
  await reach('ClickHouse', () => migrateAudit(audit))
  say('the schema in ClickHouse is up to date')
}

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SchemaBehind } from '@conntext/database'
import { AUDIT_DATABASE, openAudit } from '@conntext/db-audit'
import { assertCommunicationsMigrated, openCommunications } from '@conntext/db-communications'
import { assertServerDetailsMigrated, openServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'
import { type RunningClickHouse, type RunningPostgres, startClickHouse, startPostgres } from '@conntext/embedded'
import { ConfigError, silentLogger } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { migrate } from '../src/cli/migrate.ts'

const PASSWORD = 'password of the engines'

let directory: string
let postgres: RunningPostgres
let clickhouse: RunningClickHouse
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-migrate-'))
  const user = { user: 'conntext', password: PASSWORD }
  const engines = Promise.all([
    startPostgres({ directory: join(directory, 'postgres'), superuserPassword: PASSWORD, durability: 'none' }),
    startClickHouse({ directory: join(directory, 'clickhouse'), ...user }),
  ])
  ;[postgres, clickhouse] = await engines
}, 60_000)
afterAll(async () => {
  await Promise.all([postgres.stop(), clickhouse.stop()])
  await rm(directory, { recursive: true, force: true })
}, 60_000)

const settings = (passwords = 'first') => ({
  CONNTEXT_POSTGRES_ADMIN_URL: `postgres://postgres@127.0.0.1:${postgres.port}/postgres`,
  CONNTEXT_POSTGRES_ADMIN_PASSWORD: PASSWORD,
  CONNTEXT_AUTH_DATABASE_PASSWORD: `${passwords}-of-auth`,
  CONNTEXT_SYSTEM_DATABASE_PASSWORD: `${passwords}-of-system`,
  CONNTEXT_MESSAGING_DATABASE_PASSWORD: `${passwords}-of-messaging`,
  CONNTEXT_REALTIME_DATABASE_PASSWORD: `${passwords}-of-realtime`,
  CONNTEXT_CLICKHOUSE_URL: clickhouse.url,
  CONNTEXT_CLICKHOUSE_USER: 'conntext',
  CONNTEXT_CLICKHOUSE_PASSWORD: PASSWORD,
})

const run = (env: Record<string, string> = settings()) => {
  const said: string[] = []
  return migrate(env, { say: (line) => void said.push(line), log: silentLogger }).then(() => said)
}

const url = (service: string, database: string, passwords: string) =>
  postgres.url(database, `conntext_${service}`, `${passwords}-of-${service}`)

test('twice at once, and again, it makes all that the services need', async () => {
  await Promise.all([run(), run(), run()])
  await run()
  const auth = openServerDetails({ url: url('auth', SERVER_DETAILS, 'first'), applicationName: 'test' })
  const messaging = openCommunications({ url: url('messaging', 'communications', 'first'), applicationName: 'test' })
  const audit = openAudit({
    url: clickhouse.url,
    username: 'conntext',
    password: PASSWORD,
    database: AUDIT_DATABASE,
    log: silentLogger,
  })
  await auth.check()
  expect(Number((await auth.execute(sql`select count(*) as n from roles`))[0]!.n)).toBe(0)
  await messaging.check()
  await audit.check()
  await Promise.all([assertServerDetailsMigrated(auth), assertCommunicationsMigrated(messaging)])
  await Promise.all([auth.close(), messaging.close(), audit.close()])
}, 60_000)

test('a new password takes the old one’s place', async () => {
  await run(settings('second'))
  const as = (passwords: string) =>
    openServerDetails({ url: url('system', SERVER_DETAILS, passwords), applicationName: 'test' })
  const [old, now] = [as('first'), as('second')]
  await now.check()
  expect(await old.check().catch((error) => error.code)).toBe('28P01')
  await Promise.all([old.close(), now.close()])
}, 60_000)

test('a service sees, as its own user, that the schema is older than itself; a newer one is not its business', async () => {
  await run()
  const auth = openServerDetails({ url: url('auth', SERVER_DETAILS, 'first'), applicationName: 'test' })
  const admin = openServerDetails({ url: postgres.url(SERVER_DETAILS), applicationName: 'test' })
  const shift = (by: number) =>
    admin.execute(sql`update drizzle.__drizzle_migrations set created_at = created_at + ${by}::bigint`)
  await shift(1)
  await assertServerDetailsMigrated(auth)
  await shift(-2)
  expect(await assertServerDetailsMigrated(auth).catch((error) => error)).toBeInstanceOf(SchemaBehind)
  await shift(1)
  await Promise.all([auth.close(), admin.close()])
}, 60_000)

test('every fault of the configuration is named at once, and no value', async () => {
  const failure = await run({
    CONNTEXT_POSTGRES_ADMIN_URL: 'mysql://secret',
    CONNTEXT_AUTH_DATABASE_PASSWORD: 'secret',
    CONNTEXT_SYSTEM_DATABASE_PASSWORD_FILE: '/nowhere/at/all',
  }).catch((error) => error)
  expect(failure).toBeInstanceOf(ConfigError)
  expect(failure.message).not.toContain('secret')
  expect(failure.faults.map(({ setting }: { setting: string }) => setting).sort()).toEqual([
    'CONNTEXT_AUTH_DATABASE_PASSWORD',
    'CONNTEXT_CLICKHOUSE_URL',
    'CONNTEXT_MESSAGING_DATABASE_PASSWORD',
    'CONNTEXT_POSTGRES_ADMIN_URL',
    'CONNTEXT_REALTIME_DATABASE_PASSWORD',
    'CONNTEXT_SYSTEM_DATABASE_PASSWORD_FILE',
  ])
})

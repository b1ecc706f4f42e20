import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createDatabase, SchemaBehind } from '@conntext/database'
import { testOlderData } from '@conntext/database/older-data'
import { assertCommunicationsMigrated, migrateCommunications, openCommunications } from '@conntext/db-communications'
import {
  assertServerDetailsMigrated,
  knownServerDetailsMigrations,
  migrateServerDetails,
  migrateServerDetailsTo,
  openServerDetails,
} from '@conntext/db-server-details'
import { type RunningPostgres, startPostgres } from '@conntext/embedded'
import { SchemaAhead } from '@conntext/kernel'
import postgres from 'postgres'
import { eventually } from '../src/index.ts'

const MINUTES = 120_000

let directory: string
let engine: RunningPostgres
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-older-'))
  const options = { superuserPassword: 'of this test', durability: 'none' } as const
  engine = await startPostgres({ directory: join(directory, 'postgres'), ...options })
}, MINUTES)
afterAll(async () => {
  await engine?.stop()
  await rm(directory, { recursive: true, force: true })
}, MINUTES)

const folderOf = (name: string) => join(dirname(Bun.resolveSync(name, import.meta.dir)), '..', 'migrations')

async function create(): Promise<string> {
  const name = `older_${crypto.randomUUID().replaceAll('-', '')}`
  await createDatabase(engine.url('postgres'), name)
  return engine.url(name)
}

test(
  'Server Details of every release, with something in each table, becomes that of today, and keeps it',
  () =>
    testOlderData({
      create,
      folder: folderOf('@conntext/db-server-details'),
      emptyBefore: { invites: 2 },
      async look(url) {
        const db = openServerDetails({ url, poolSize: 1, applicationName: 'test' })
        await assertServerDetailsMigrated(db)
        await db.close()
      },
    }),
  MINUTES,
)

test(
  'Communication of every release, with something in each table, becomes that of today, and keeps it',
  () =>
    testOlderData({
      create,
      folder: folderOf('@conntext/db-communications'),
      emptyBefore: { message_revisions: 7 },
      async look(url) {
        const db = openCommunications({ url, poolSize: 1, applicationName: 'test' })
        await assertCommunicationsMigrated(db)
        await db.close()
      },
    }),
  MINUTES,
)

test(
  'a migration that is broken off leaves nothing behind, and is made when it is tried again',
  async () => {
    const url = await create()
    const [first] = knownServerDetailsMigrations()
    await migrateServerDetailsTo(url, first!.at)
    const db = openServerDetails({ url, poolSize: 1, applicationName: 'test' })
    const blocker = postgres(url, { max: 1, onnotice: () => {} })
    const holding = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const lock = blocker.begin(async (tx) => {
      await tx`lock table server_settings in access share mode`
      held.resolve()
      await holding.promise
    })
    await held.promise
    const admin = postgres(engine.url('postgres'), { max: 1 })
    const migrating = migrateServerDetails(url).then(
      () => undefined,
      (error: unknown) => error,
    )
    // It waits within the transaction of all migrations: then its connection is gone, as with kill -9.
    const name = new URL(url).pathname.slice(1)
    await eventually(async () => {
      const ended = await admin`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = ${name} and wait_event_type = 'Lock' and query like '%ALTER TABLE "server_settings"%'`
      return ended.length > 0
    }, 60_000)
    expect(await migrating).toBeInstanceOf(Error)
    holding.resolve()
    await lock
    const [applied] = await blocker`select count(*)::int as n from drizzle.__drizzle_migrations`
    expect(applied!.n).toBe(1)
    expect(await assertServerDetailsMigrated(db).catch((error: unknown) => error)).toBeInstanceOf(SchemaBehind)
    await migrateServerDetails(url)
    await assertServerDetailsMigrated(db)
    await Promise.all([db.close(), blocker.end(), admin.end()])
  },
  MINUTES,
)

test(
  'a database that a newer release has changed is refused, and left as it is',
  async () => {
    for (const migrate of [migrateServerDetails, migrateCommunications]) {
      const url = await create()
      await migrate(url)
      const client = postgres(url, { max: 1 })
      await client`insert into drizzle.__drizzle_migrations (hash, created_at) values ('newer', 9999999999999)`
      const failure = await migrate(url).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(SchemaAhead)
      expect((failure as Error).message).toContain('newer release')
      await client.end()
    }
  },
  MINUTES,
)

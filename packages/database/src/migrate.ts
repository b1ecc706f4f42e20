import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SchemaAhead } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import type { Executor } from './executor.ts'

// Any number will do, as long as every instance of every version uses the same.
const MIGRATION_LOCK = 7_261_001

/**
 * Brings a database's schema up to date. Forward only and safe to repeat; instances that start at the same time wait
 * for each other. Runs as the database's owner, not as a service's user. @throws SchemaAhead
 */
export async function migrateDatabase(options: { url: string; folder: string }): Promise<void> {
  const client = postgres(options.url, { max: 1, onnotice: () => {} })
  try {
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`
    await refuseNewer(client, options.folder)
    await migrate(drizzle(client), { migrationsFolder: options.folder })
  } finally {
    // Ending the connection releases the lock.
    await client.end({ timeout: 5 })
  }
}

async function refuseNewer(client: postgres.Sql, folder: string): Promise<void> {
  const [there] = await client`select to_regclass('drizzle.__drizzle_migrations') as name`
  if (there?.name === null) return
  const newest = Math.max(...knownMigrations(folder).map(({ at }) => at))
  const [ahead] = await client`select current_database() as name from drizzle.__drizzle_migrations
    where created_at > ${newest} limit 1`
  if (ahead) throw new SchemaAhead(String(ahead.name))
}

/** The migrations that this release has, oldest first; `at` is what the database remembers them by. */
export const knownMigrations = (folder: string): { hash: string; at: number }[] =>
  readMigrationFiles({ migrationsFolder: folder }).map(({ hash, folderMillis }) => ({ hash, at: folderMillis }))

type Journal = { entries: { when: number }[] }

/** Brings a new database to the schema that it had once: no migration after `last` is applied. */
export async function migrateDatabaseTo(options: { url: string; folder: string; last: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'conntext-migrations-'))
  try {
    await cp(options.folder, folder, { recursive: true })
    const path = join(folder, 'meta', '_journal.json')
    const journal = (await Bun.file(path).json()) as Journal
    const entries = journal.entries.filter(({ when }) => when <= options.last)
    await Bun.write(path, JSON.stringify({ ...journal, entries }))
    await migrateDatabase({ url: options.url, folder })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** How many migrations the database has seen. */
export async function appliedMigrations(db: Pick<Executor, 'execute'>): Promise<number> {
  const rows = await db.execute(sql`select count(*) as applied from drizzle.__drizzle_migrations`)
  const [{ applied }] = rows as unknown as [{ applied: string }]
  return Number(applied)
}

/** The schema is older than what runs: it is to be brought up to date first. */
export class SchemaBehind extends Error {
  override name = 'SchemaBehind'
  constructor() {
    super('the schema is that of an older release')
  }
}

/**
 * Looks whether all migrations of this release have been applied; a newer schema is none of its business.
 * @throws SchemaBehind, or what Postgres says where there is no schema yet
 */
export async function assertMigrated(db: Executor, folder: string): Promise<void> {
  const newest = Math.max(...readMigrationFiles({ migrationsFolder: folder }).map(({ folderMillis }) => folderMillis))
  const rows = await db.execute(sql`select max(created_at) as newest from drizzle.__drizzle_migrations`)
  const [applied] = rows as unknown as { newest: string | null }[]
  if (Number(applied?.newest ?? 0) < newest) throw new SchemaBehind()
}

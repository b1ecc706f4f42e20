import { eventually } from '@conntext/testing'
import postgres, { type ReservedSql, type Sql } from 'postgres'

export type Database = 'communications' | 'server_details'
type Query = ReservedSql | Sql

export const urlOf = (admin: string, database: Database): string =>
  Object.assign(new URL(admin), { pathname: `/${database}` }).href

export const openAdmin = (admin: string, database: Database): Sql =>
  postgres(urlOf(admin, database), { max: 1, onnotice: () => {} })

export type Seen = Record<Database, ReservedSql>

// Nothing that goes on in a test looks into it, and a backup copies it.
const UNUSED = 'call_participations'

/**
 * Sees, in transactions of its own, exactly what a backup sees that is made meanwhile: holds it up before it takes its
 * snapshots, lets it take them, and takes over both before it goes on.
 */
export async function seeWhatTheBackupSees(admin: string, begin: () => Promise<void>) {
  const clients = [1, 2, 3].map(() => openAdmin(admin, 'communications'))
  const [gate, table, communications] = clients as [Sql, Sql, Sql]
  const serverDetails = openAdmin(admin, 'server_details')
  const end = () => Promise.all([...clients, serverDetails].map((client) => client.end({ timeout: 0 })))
  try {
    const held = await gate.reserve()
    await held`select pg_advisory_lock(hashtextextended('backup.objects', 0))`
    await begin()
    const waits = () => communications`select from pg_locks where locktype = 'advisory' and not granted`
    await eventually(async () => (await waits()).length > 0 || undefined, 60_000)
    const lock = await table.reserve()
    await lock.unsafe(`begin; lock table ${UNUSED} in access exclusive mode`)
    await held`select pg_advisory_unlock(hashtextextended('backup.objects', 0))`
    const ids = await eventually(async () => {
      const found = await communications<{ id: string }[]>`select pg_ls_dir('pg_snapshots') as id`
      return found.length === 2 ? found.map(({ id }) => id) : undefined
    }, 60_000)
    const seen: Seen = {
      communications: await take(communications, ids),
      server_details: await take(serverDetails, ids),
    }
    await lock.unsafe('rollback')
    return { seen, [Symbol.asyncDispose]: async () => void (await end()) }
  } catch (error) {
    await end()
    throw error
  }
}

/** A snapshot is of one database: the other's is refused. */
async function take(client: Sql, ids: string[]): Promise<ReservedSql> {
  const connection = await client.reserve()
  for (const id of ids) {
    await connection.unsafe('begin isolation level repeatable read read only')
    const isTaken = await connection.unsafe(`set transaction snapshot '${id}'`).then(
      () => true,
      () => false,
    )
    if (isTaken) return connection
    await connection.unsafe('rollback')
  }
  throw new Error(`none of the snapshots is of this database: ${ids}`)
}

/** What a restore changes on purpose, so that it is compared without that. */
const SETTLED: Record<string, { before: string; after: string }> = {
  streams: {
    before: 'select name, last_seq + 1000000 as last_seq from streams',
    after: 'select name, last_seq from streams',
  },
  refresh_tokens: { before: 'select 1 where false', after: 'select * from refresh_tokens' },
  validation_tokens: { before: 'select 1 where false', after: 'select * from validation_tokens' },
  sessions: same(`select to_jsonb(s) - 'revoked_at' from sessions s`),
  // The server that runs by now goes on taking note of the time.
  auth_known_time: same('select id from auth_known_time'),
  system_known_time: same('select id from system_known_time'),
  messaging_known_time: same('select id from messaging_known_time'),
  auth_outbox: same(`select to_jsonb(o) - 'delivered_at' from auth_outbox o`),
  // That it was restored is told by an event.
  system_outbox: same(
    `select to_jsonb(o) - 'delivered_at' from system_outbox o where o.payload->>'action' is distinct from 'backup.restored'`,
  ),
  backups: same(`select * from backups where state in ('done', 'failed')`),
  media_uploads: same('select * from media_uploads where finished_at is not null'),
  media_usage: same(`select to_jsonb(u) - 'reserved' from media_usage u`),
}

function same(query: string) {
  return { before: query, after: query }
}

/** How many rows every table has, and a hash of all of them. */
export async function sumsOf(query: Query, when: 'before' | 'after'): Promise<Record<string, string>> {
  const tables = await query.unsafe("select tablename as name from pg_tables where schemaname = 'public' order by 1")
  const sums: Record<string, string> = {}
  for (const { name } of tables) {
    const [row] = await query.unsafe(
      `select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') as sum
       from (${SETTLED[name]?.[when] ?? `select * from "${name}"`}) t`,
    )
    sums[name] = row!.sum
  }
  return sums
}

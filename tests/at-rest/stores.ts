import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import { startClickHouse, startPostgres } from '@conntext/embedded'
import postgres from 'postgres'

/** What a table holds: each row as the database writes it out, with bytes as hex. */
export type Table = { name: string; rows: string[] }

/** Every row of every table of a stopped server's Postgres, read by its superuser. */
export async function dumpPostgres(data: string): Promise<Table[]> {
  const superuserPassword = (await readFile(join(data, 'secrets', 'postgres-password'), 'utf8')).trim()
  const engine = await startPostgres({ directory: join(data, 'postgres'), superuserPassword })
  const tables: Table[] = []
  try {
    for (const database of ['server_details', 'communications']) {
      const sql = postgres(engine.url(database), { max: 1, onnotice: () => {} })
      const names = await sql`select schemaname, tablename as name from pg_tables where schemaname = 'public'`
      for (const { name } of names) {
        const rows = await sql`select t::text as row from ${sql(name)} t`
        tables.push({ name, rows: rows.map(({ row }) => row as string) })
      }
      await sql.end()
    }
  } finally {
    await engine.stop()
  }
  return tables
}

/** The same of its ClickHouse. */
export async function dumpClickHouse(data: string): Promise<Table[]> {
  const password = crypto.randomUUID()
  const engine = await startClickHouse({ directory: join(data, 'clickhouse'), user: 'test', password })
  const client = createClient({ url: engine.url, username: 'test', password, database: 'audit' })
  try {
    const listed = await client.query({ query: 'show tables', format: 'JSONEachRow' })
    const names = (await listed.json<{ name: string }>()).map(({ name }) => name)
    const read = async (name: string): Promise<Table> => {
      const result = await client.query({ query: `select * from audit.\`${name}\``, format: 'JSONEachRow' })
      return { name: `audit.${name}`, rows: (await result.text()).split('\n').filter(Boolean) }
    }
    return await Promise.all(names.map(read))
  } finally {
    await client.close()
    await engine.stop()
  }
}

/** Every file below a directory, but for some of its subdirectories. */
export async function filesBelow(directory: string, except: string[] = []): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !except.some((name) => file.startsWith(`${join(directory, name)}/`)))
}

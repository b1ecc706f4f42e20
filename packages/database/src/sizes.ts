import { sql } from 'drizzle-orm'
import type { Executor } from './executor.ts'

/** `bytes` with indexes and long values; `rows` as the engine estimates them. */
export type TableSize = { name: string; bytes: number; rows: number }

/** How much the database and its tables take up on the disk, the largest first. The engine knows: no table is read. */
export async function databaseSize(db: Executor): Promise<{ bytes: number; tables: TableSize[] }> {
  const [whole] = (await db.execute(sql`select pg_database_size(current_database()) as bytes`)) as unknown as [
    { bytes: string },
  ]
  const tables = (await db.execute(sql`
    select c.relname as name, pg_total_relation_size(c.oid) as bytes, greatest(c.reltuples, 0)::bigint as rows
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    order by bytes desc, name`)) as unknown as { name: string; bytes: string; rows: string }[]
  return {
    bytes: Number(whole.bytes),
    tables: tables.map(({ name, bytes, rows }) => ({ name, bytes: Number(bytes), rows: Number(rows) })),
  }
}

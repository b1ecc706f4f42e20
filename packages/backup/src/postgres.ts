import postgres, { type ReservedSql } from 'postgres'
import type { AppliedMigration, DatabaseName, Sequence, TableColumns } from './format.ts'

/** A database as it was at one moment, for as long as the transaction is open. */
export type Snapshot = {
  /** By which another transaction sees the same: `set transaction snapshot '…'`. */
  id: string
  at: string
  query<T>(text: string, values?: unknown[]): Promise<T[]>
  /** The table's rows as COPY writes them, in bounded memory. */
  copyOut(table: string, columns: string[]): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** A connection of its own, which holds the shared locks named until it is closed. */
export type Reader = { connection: ReservedSql; end(): Promise<void> }

/** Opens a connection, and waits until nobody is at what the locks keep others from. */
export async function openReader(url: string, locks: string[]): Promise<Reader> {
  const client = postgres(url, {
    max: 1,
    onnotice: () => {},
    connection: { application_name: 'conntext backup', statement_timeout: 0, idle_in_transaction_session_timeout: 0 },
  })
  try {
    const connection = await client.reserve()
    for (const lock of locks) {
      await connection`select pg_advisory_lock_shared(hashtextextended(${lock}, 0))`
    }
    return {
      connection,
      // What it holds ends with it; to wait for a reserved connection would be to wait for the time to run out.
      end: () => client.end({ timeout: 0 }),
    }
  } catch (error) {
    await client.end({ timeout: 1 })
    throw error
  }
}

/** Takes the snapshot: from here on only what was committed before is seen. */
export async function takeSnapshot({ connection }: Reader): Promise<Snapshot> {
  await connection.unsafe('begin isolation level repeatable read read only')
  const [row] = await connection<[{ id: string; at: string }]>`select pg_export_snapshot() as id,
    to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`
  return {
    ...row!,
    query: async <T>(text: string, values: unknown[] = []) =>
      (await connection.unsafe(text, values as never[])) as unknown as T[],
    copyOut: (table, columns) => copyOut(connection, table, columns),
    close: async () => void (await connection.unsafe('rollback')),
  }
}

async function* copyOut(connection: ReservedSql, table: string, columns: string[]): AsyncGenerator<Uint8Array> {
  const stream = await connection.unsafe(`copy ${quoted(table)} (${columns.map(quoted).join()}) to stdout`).readable()
  yield* stream as AsyncIterable<Uint8Array>
  // The driver pauses its socket for a reader that is behind, and where the answer ends meanwhile it is never resumed: the
  // next query would wait for ever. What it resumes by is what its stream reads by.
  stream._read(0)
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

type Table = { name: string; columns: string[]; refers: string[]; bytes: string }

/** All tables, those that others refer to first, with how large they are. */
export async function readTables(
  snapshot: Snapshot,
  database: DatabaseName,
): Promise<(TableColumns & { bytes: number })[]> {
  const tables = await snapshot.query<Table>(`
    select c.relname as name, pg_table_size(c.oid)::text as bytes,
      (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
      coalesce((select array_agg(distinct r.relname::text) from pg_constraint k join pg_class r on r.oid = k.confrelid
        where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid), '{}') as refers
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by c.relname`)
  return inOrder(tables).map(({ name, columns, bytes }) => ({ database, name, columns, bytes: Number(bytes) }))
}

function inOrder(tables: Table[]): Table[] {
  const left = new Map(tables.map((table) => [table.name, table]))
  const ordered: Table[] = []
  while (left.size > 0) {
    const free = [...left.values()].filter(({ refers }) => !refers.some((name) => left.has(name)))
    if (free.length === 0) throw new Error('tables refer to one another in a circle')
    for (const table of free) left.delete(table.name)
    ordered.push(...free)
  }
  return ordered
}

export async function readSequences(snapshot: Snapshot, database: DatabaseName): Promise<Sequence[]> {
  const names = await snapshot.query<{ name: string }>(
    `select sequencename as name from pg_sequences where schemaname = 'public' order by 1`,
  )
  const sequences: Sequence[] = []
  for (const { name } of names) {
    const [row] = await snapshot.query<{ value: string; called: boolean }>(
      `select last_value::text as value, is_called as called from ${quoted(name)}`,
    )
    sequences.push({ database, name, value: row!.value, isCalled: row!.called })
  }
  return sequences
}

export const readMigrations = async (snapshot: Snapshot): Promise<AppliedMigration[]> =>
  (
    await snapshot.query<{ hash: string; at: string }>(
      'select hash, created_at::text as at from drizzle.__drizzle_migrations order by created_at',
    )
  ).map(({ hash, at }) => ({ hash, at: Number(at) }))

import { expect } from 'bun:test'
import postgres, { type Sql } from 'postgres'
import { knownMigrations, migrateDatabase, migrateDatabaseTo } from '../migrate.ts'

type Column = { table: string; name: string; type: string; fixed: boolean }
type Row = Record<string, unknown>

const ROWS = 2

/** A value for a column of a type, in SQL; each time another one. */
const VALUES: Record<string, string> = {
  uuid: 'gen_random_uuid()',
  text: 'gen_random_uuid()::text',
  boolean: 'false',
  integer: '(random() * 1e6)::integer',
  smallint: '1',
  bigint: '(random() * 1e9)::bigint',
  'double precision': '0.5',
  numeric: '0.5',
  date: 'current_date',
  jsonb: `'{}'::jsonb`,
  bytea: "decode(replace(gen_random_uuid()::text, '-', ''), 'hex')",
  'text[]': "array['a']",
  tsvector: "to_tsvector('simple', 'a b')",
  'uuid[]': 'array[gen_random_uuid()]',
}
const valueFor = ({ table, name, type }: Column): string => {
  const plain = type.replace(/\(\d+\)/, '').replace(/ with(out)? time zone$/, '')
  const value = plain === 'timestamp' ? 'now()' : VALUES[plain]
  if (!value) throw new Error(`no value is known for ${table}.${name} (${type})`)
  return value
}

const columnsOf = (client: Sql): Promise<Column[]> => client<Column[]>`
  select c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
    (a.attgenerated <> '' or a.attidentity <> '') as fixed
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped order by 1, 2`

async function fill(client: Sql, all: Column[], empty: string[]): Promise<Map<string, Row[]>> {
  const columns = all.filter(({ table }) => !empty.includes(table))
  const rows = new Map<string, Row[]>()
  // References are not looked at: what they lead to is made up as well.
  await client`set session_replication_role = replica`
  for (const [table, ofTable] of Map.groupBy(columns, (column) => column.table)) {
    const given = ofTable.filter(({ fixed }) => !fixed)
    const names = given.map(({ name }) => `"${name}"`).join(', ')
    const made: Row[] = []
    for (let n = 0; n < ROWS; n += 1) {
      const values = given.map(valueFor).join(', ')
      made.push(...(await client.unsafe<Row[]>(`insert into "${table}" (${names}) values (${values}) returning *`)))
    }
    rows.set(table, made)
  }
  await client`set session_replication_role = origin`
  return rows
}

/** Everything that makes a schema, in words. */
async function shapeOf(client: Sql): Promise<unknown[]> {
  const constraints = await client`select conrelid::regclass::text as of, conname, pg_get_constraintdef(oid) as is
    from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2`
  const indexes = await client`select indexdef from pg_indexes where schemaname = 'public' order by 1`
  return [await columnsOf(client), [...constraints], [...indexes]]
}

export type OlderData = {
  /** The URL, as its owner, of a new database. */
  create(): Promise<string>
  folder: string
  /** Tables that a migration, by its number, takes to be empty or empties: never since there have been releases. */
  emptyBefore?: Record<string, number>
  /** Values that a migration is meant to change, as `table.column`. */
  changed?: string[]
  /** What else is to be looked at when a schema of old has been brought up to date. */
  look?(url: string): Promise<void>
}

/**
 * From the schema of every release, with something in each of its tables: the migrations since end with the schema that a
 * new database has, and with what was there.
 */
export async function testOlderData({
  create,
  folder,
  emptyBefore = {},
  changed = [],
  look,
}: OlderData): Promise<void> {
  const known = knownMigrations(folder)
  const fresh = await create()
  await migrateDatabase({ url: fresh, folder })
  const shape = await withClient(fresh, shapeOf)
  for (const [number, { at }] of known.entries()) {
    const empty = Object.keys(emptyBefore).filter((table) => number < emptyBefore[table]!)
    const url = await create()
    await migrateDatabaseTo({ url, folder, last: at })
    const before = await withClient(url, async (client) => fill(client, await columnsOf(client), empty))
    await Promise.all([migrateDatabase({ url, folder }), migrateDatabase({ url, folder })])
    await withClient(url, async (client) => {
      expect(await shapeOf(client)).toEqual(shape)
      for (const [table, rows] of before) await compare(client, table, rows, changed)
    })
    await look?.(url)
  }
}

/** What was in a table is in it, in those columns that there still are. */
async function compare(client: Sql, table: string, rows: Row[], changed: string[]): Promise<void> {
  const now = await client.unsafe<Row[]>(`select * from "${table}"`)
  const kept = Object.keys(rows[0]!).filter((name) => name in (now[0] ?? {}) && !changed.includes(`${table}.${name}`))
  const told = (row: Row) => JSON.stringify(kept.map((name) => row[name]))
  expect([table, now.map(told).toSorted()]).toEqual([table, rows.map(told).toSorted()])
}

async function withClient<T>(url: string, use: (client: Sql) => Promise<T>): Promise<T> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  return use(client).finally(() => client.end())
}

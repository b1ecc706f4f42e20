// Owns a data directory, starts both stores, and inserts until killed. Prints the process ids, then each acknowledged row.
import { openDataDirectory, readOrCreateSecret } from '../../src/index.ts'
import { clientOf, connect, startTestClickHouse, startTestPostgres } from './stores.ts'

const data = openDataDirectory(process.argv[2]!)
const [postgres, clickHouse] = await Promise.all([
  startTestPostgres({
    directory: `${data.path}/postgres`,
    superuserPassword: readOrCreateSecret(data, 'postgres', 32),
    durability: 'full',
  }),
  startTestClickHouse({
    directory: `${data.path}/clickhouse`,
    password: readOrCreateSecret(data, 'clickhouse', 32),
  }),
])
const sql = connect(postgres.url('postgres'))
const client = clientOf(clickHouse)
await sql`create table if not exists kept (id bigint primary key)`
await client.command({ query: 'CREATE TABLE IF NOT EXISTS kept (id UInt64) ENGINE = MergeTree ORDER BY id' })
const [last] = await sql`select coalesce(max(id), 0)::int id from kept`
console.log(JSON.stringify({ postgres: postgres.pid, clickHouse: clickHouse.pid }))

async function insertForever(name: string, insert: (id: number) => Promise<unknown>) {
  for (let id = last!.id + 1; ; id++) {
    await insert(id)
    console.log(`${name} ${id}`)
  }
}

await Promise.all([
  insertForever('postgres', (id) => sql`insert into kept values (${id})`),
  insertForever('clickHouse', (id) => client.insert({ table: 'kept', values: [{ id }], format: 'JSONEachRow' })),
])

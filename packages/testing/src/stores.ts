import { type SharedStores, startSharedStores, TEMPLATES } from './shared.ts'

let own: Promise<SharedStores> | undefined

/**
 * The run's stores: those that the test run started, or, for a single `bun test` by hand, ones of this process's own,
 * which end with it.
 */
export async function storeEnvironment(): Promise<Record<string, string>> {
  if (process.env.CONNTEXT_TEST_POSTGRES) return process.env as Record<string, string>
  own ??= startSharedStores()
  return (await own).env
}

/** The ClickHouse engine of the run, with a database of the test's own. */
export async function testClickHouse() {
  const env = await storeEnvironment()
  const connection = {
    url: env.CONNTEXT_TEST_CLICKHOUSE!,
    username: env.CONNTEXT_TEST_CLICKHOUSE_USER!,
    password: env.CONNTEXT_TEST_CLICKHOUSE_PASSWORD!,
  }
  const { createClient } = await import('@clickhouse/client')
  const database = `t_${crypto.randomUUID().replaceAll('-', '')}`
  const admin = createClient(connection)
  await admin.command({ query: `create database ${database}` })
  return {
    ...connection,
    database,
    async [Symbol.asyncDispose]() {
      await admin.command({ query: `drop database ${database}` })
      await admin.close()
    },
  }
}

/** The same, with the tables of the Audit database: copied from those that the run made at its start. */
export async function testAudit() {
  const own = await testClickHouse()
  const { createClient } = await import('@clickhouse/client')
  const client = createClient(own)
  const template = TEMPLATES.audit
  const tables = await client.query({
    query: 'select name, engine, create_table_query as made from system.tables where database = {template:String}',
    query_params: { template },
    format: 'JSONEachRow',
  })
  // A view reads what is there when it is made.
  const isView = ({ engine }: { engine: string }) => Number(engine === 'View')
  const found = await tables.json<{ name: string; engine: string; made: string }>()
  for (const table of found.sort((a, b) => isView(a) - isView(b))) {
    const copied = `create table ${table.name} as ${template}.${table.name}`
    await client.command({ query: isView(table) ? table.made.replaceAll(`${template}.`, '') : copied })
  }
  await client.command({ query: `insert into migrations select * from ${template}.migrations` })
  await client.close()
  return own
}

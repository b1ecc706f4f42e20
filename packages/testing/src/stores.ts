import { type SharedStores, startSharedStores } from './shared.ts'

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

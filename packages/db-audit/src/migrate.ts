import { SchemaAhead } from '@conntext/kernel'
import { type Audit, type AuditConnection, connect } from './client.ts'
import { migrations as released } from './migrations/index.ts'

/**
 * A step of the schema. Every statement must bear being repeated (`IF NOT EXISTS`): ClickHouse has neither locks nor
 * transactions for them, so two instances that start at the same time may both run it.
 */
export type Migration = { version: number; name: string; statements: string[] }

const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS migrations (
  version UInt32,
  name String,
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree ORDER BY version`

/**
 * Creates the database and brings its schema up to date: forward only, safe to repeat and to run twice at once.
 * @throws SchemaAhead
 */
export async function migrateAudit(connection: AuditConnection, migrations: Migration[] = released): Promise<void> {
  await createDatabase(connection)
  const client = connect(connection)
  try {
    await client.command({ query: MIGRATIONS_TABLE })
    const result = await client.query({ query: 'SELECT DISTINCT version FROM migrations', format: 'JSONEachRow' })
    const applied = new Set((await result.json<{ version: number }>()).map((row) => row.version))
    const newest = Math.max(...migrations.map(({ version }) => version))
    if ([...applied].some((version) => version > newest)) throw new SchemaAhead(connection.database)
    for (const { version, name, statements } of migrations) {
      if (applied.has(version)) continue
      for (const query of statements) await client.command({ query })
      await client.insert({ table: 'migrations', values: [{ version, name }], format: 'JSONEachRow' })
      connection.log.info({ version, name }, 'the audit database was migrated')
    }
  } finally {
    await client.close()
  }
}

/** How many migrations the database has seen. */
export async function appliedAuditMigrations(audit: Audit): Promise<number> {
  const [row] = await audit.rows<{ applied: string }>({
    sql: 'SELECT uniqExact(version) AS applied FROM migrations',
    params: {},
  })
  return Number(row?.applied)
}

async function createDatabase({ database, ...server }: AuditConnection): Promise<void> {
  const client = connect(server)
  try {
    await client.command({
      query: 'CREATE DATABASE IF NOT EXISTS {database:Identifier}',
      query_params: { database },
    })
  } finally {
    await client.close()
  }
}

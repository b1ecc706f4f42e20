import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres, { type Sql } from 'postgres'

export type Database<S extends Record<string, unknown>> = PostgresJsDatabase<S> & {
  /** A trip to the database and back that needs a working backend; throws when there is none. */
  check(): Promise<void>
  close(): Promise<void>
}

export type DatabaseOptions = {
  url: string
  /** Connections in the pool at most. */
  poolSize?: number
  /** Shown in `pg_stat_activity`. */
  applicationName: string
}

const CONNECT_TIMEOUT_S = 10
const STATEMENT_TIMEOUT_MS = 30_000

/** Opens a pool. Nothing is connected until the first query. */
export function openDatabase<S extends Record<string, unknown>>(schema: S, options: DatabaseOptions): Database<S> {
  const client = postgres(options.url, {
    max: options.poolSize ?? 10,
    connect_timeout: CONNECT_TIMEOUT_S,
    connection: { application_name: options.applicationName, statement_timeout: STATEMENT_TIMEOUT_MS },
    onnotice: () => {},
  })
  const db = drizzle(preparing(client), { schema })
  return Object.assign(db, {
    async check() {
      const [row] = await client`select pg_is_in_recovery() as replica`
      if (row?.replica !== false) throw new Error('the database is a read-only replica')
    },
    close: () => client.end({ timeout: 5 }),
  })
}

/**
 * drizzle asks postgres.js not to prepare its statements. Its SQL is the same text for each shape of query, so
 * preparing is safe, and doubles the throughput of small queries. Inside a transaction drizzle gets a client of its
 * own, which is wrapped the same way.
 */
function preparing(client: Sql): Sql {
  const unsafe = client.unsafe.bind(client)
  const begin = client.begin.bind(client) as (...args: unknown[]) => Promise<unknown>
  return Object.assign(client, {
    unsafe: (query: string, parameters?: never[], options?: object) =>
      unsafe(query, parameters, { ...options, prepare: true }),
    begin: (...args: unknown[]) => {
      const body = args.pop() as (tx: Sql) => Promise<unknown>
      return begin(...args, (tx: Sql) => body(prepareWithin(tx)))
    },
  })
}

function prepareWithin(tx: Sql): Sql {
  const unsafe = tx.unsafe.bind(tx)
  return Object.assign(tx, {
    unsafe: (query: string, parameters?: never[], options?: object) =>
      unsafe(query, parameters, { ...options, prepare: parameters !== undefined && parameters.length > 0 }),
  })
}

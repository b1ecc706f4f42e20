import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { PoolMeter } from './meters.ts'
import { prepared } from './prepared.ts'

export type Database<S extends Record<string, unknown>> = PostgresJsDatabase<S> & {
  /** A trip to the database and back that needs a working backend; throws when there is none. */
  check(): Promise<void>
  /** Whether its disk was full within the last minute, as far as a statement here was refused for it. */
  wasFullLately(): boolean
  /**
   * Calls back with each notification on the channel, over a connection of its own, and without one whenever it begins
   * to be heard, the first time and after an interruption: what was said before was missed. Answers how to end it.
   */
  listen(channel: string, heard: (payload?: string) => void): Promise<() => void>
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
const RECONNECT_MS = { first: 50, longest: 1_000 }

/**
 * The pause before a connection is tried again, in seconds. The driver counts failures over the whole pool, so its own
 * grow to 20 s within one blink of the database; and while they last, statements wait instead of failing.
 */
const reconnectAfter = (failures: number): number => {
  const pause = Math.min(RECONNECT_MS.longest, RECONNECT_MS.first * 2 ** Math.min(failures, 10))
  return (pause / 1000) * (0.5 + Math.random() / 2)
}

/** Opens a pool. Nothing is connected until the first query. */
export function openDatabase<S extends Record<string, unknown>>(schema: S, options: DatabaseOptions): Database<S> {
  const { poolSize = 10 } = options
  const meter = new PoolMeter(options.applicationName, poolSize)
  const client = postgres(options.url, {
    max: poolSize,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: reconnectAfter,
    connection: { application_name: options.applicationName, statement_timeout: STATEMENT_TIMEOUT_MS },
    onnotice: () => {},
  })
  const db = drizzle(prepared(client, meter), { schema })
  return Object.assign(db, {
    async check() {
      const [row] = await client`select pg_is_in_recovery() as replica`
      if (row?.replica !== false) throw new Error('the database is a read-only replica')
    },
    wasFullLately: () => meter.wasFullLately(),
    async listen(channel: string, heard: (payload?: string) => void) {
      let isOver = false
      const tell = (payload?: string) => {
        if (!isOver) heard(payload)
      }
      const { unlisten } = await client.listen(channel, tell, tell)
      return () => {
        // After an interruption the driver's own way to end it ends nothing.
        isOver = true
        // While the database is away there is nobody to tell.
        unlisten().catch(() => {})
      }
    },
    close() {
      meter.end()
      return client.end({ timeout: 5 })
    },
  })
}

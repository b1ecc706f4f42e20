import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import postgres from 'postgres'
import {
  type ClickHouseOptions,
  type PostgresOptions,
  type RunningClickHouse,
  type RunningPostgres,
  startClickHouse,
  startPostgres,
} from '../../src/index.ts'

export const superuserPassword = 'a superuser: /?#[]@% password'

export type DisposablePostgres = RunningPostgres & AsyncDisposable
export type DisposableClickHouse = RunningClickHouse & AsyncDisposable

/** Without waiting for the disk, unless the test says otherwise. */
export async function startTestPostgres(
  options: Pick<PostgresOptions, 'directory'> & Partial<PostgresOptions>,
): Promise<DisposablePostgres> {
  const running = await startPostgres({ superuserPassword, durability: 'none', ...options })
  return Object.assign(running, { [Symbol.asyncDispose]: () => running.stop() })
}

export function connect(url: string) {
  const sql = postgres(url, { max: 1, onnotice() {}, idle_timeout: 5 })
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) })
}

export const clickHouseUser = { user: 'conntext', password: 'pa:ss wörd' }

export async function startTestClickHouse(
  options: Pick<ClickHouseOptions, 'directory'> & Partial<ClickHouseOptions>,
): Promise<DisposableClickHouse> {
  const running = await startClickHouse({ ...clickHouseUser, ...options })
  return Object.assign(running, { [Symbol.asyncDispose]: () => running.stop() })
}

export function clientOf(
  { url, user, password }: Pick<RunningClickHouse, 'url' | 'user' | 'password'>,
  options: NonNullable<Parameters<typeof createClient>[0]> = {},
): ClickHouseClient & AsyncDisposable {
  const client = createClient({
    url,
    username: user,
    password,
    request_timeout: 20_000,
    log: { level: ClickHouseLogLevel.OFF },
    ...options,
  })
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() })
}

export async function rowsOf<T>(
  client: ClickHouseClient,
  query: string,
  options: Partial<Parameters<ClickHouseClient['query']>[0]> = {},
): Promise<T[]> {
  const result = await client.query({ ...options, query, format: 'JSONEachRow' })
  return (await result.json()) as T[]
}

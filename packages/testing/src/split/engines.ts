import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningClickHouse, type RunningPostgres, startClickHouse, startPostgres } from '@conntext/embedded'
import { randomToken } from '@conntext/kernel'
import { objectStorage } from '../object-storage.ts'
import { hasRedis, type RedisServer, startRedis } from '../redis/index.ts'
import { removeAfterwards } from '../shared.ts'

/** An engine that a test stops and starts again, on the same port and data. */
export type Engine = { stop(): Promise<void>; start(): Promise<void> }

export type Engines = {
  postgres: Engine
  clickhouse: Engine
  redis: RedisServer
  /** As `CONNTEXT_…` settings. */
  env: Record<string, string>
  [Symbol.asyncDispose](): Promise<void>
}

/** Whether Postgres writes through to the disk: tests can do without. */
export type EngineOptions = { durability?: 'full' | 'none' }

/** Whether this machine has all that a split deployment needs; where it lacks something, such tests are skipped. */
export const canSplit = async (): Promise<boolean> => hasRedis() && (await objectStorage()) !== undefined

/** The engines of one split deployment: its own Postgres, ClickHouse and Redis, and a bucket. */
export async function startEngines({ durability = 'none' }: EngineOptions = {}): Promise<Engines> {
  const s3 = await objectStorage()
  if (!s3) throw new Error('there is no S3 server on this machine')
  const directory = await mkdtemp(join(tmpdir(), 'conntext-split-'))
  removeAfterwards(directory)
  const password = randomToken()
  const place = {
    directory: join(directory, 'postgres'),
    superuserPassword: password,
    durability,
    settings: { max_connections: '300' },
  }
  const audit = { directory: join(directory, 'clickhouse'), user: 'conntext', password }
  const [first, second, redis] = await Promise.all([startPostgres(place), startClickHouse(audit), startRedis()])
  let postgres: RunningPostgres = first
  let clickhouse: RunningClickHouse = second
  return {
    postgres: {
      stop: () => postgres.stop(),
      async start() {
        postgres = await startPostgres({ ...place, port: first.port })
      },
    },
    clickhouse: {
      stop: () => clickhouse.stop(),
      async start() {
        clickhouse = await startClickHouse({ ...audit, port: second.port })
      },
    },
    redis,
    env: {
      CONNTEXT_POSTGRES_ADMIN_URL: first.url('postgres'),
      CONNTEXT_CLICKHOUSE_URL: second.url,
      CONNTEXT_CLICKHOUSE_USER: audit.user,
      CONNTEXT_CLICKHOUSE_PASSWORD: password,
      CONNTEXT_REDIS_URL: redis.url,
      CONNTEXT_S3_ENDPOINT: s3.endpoint,
      CONNTEXT_S3_ACCESS_KEY: s3.accessKey,
      CONNTEXT_S3_SECRET_KEY: s3.secretKey,
      CONNTEXT_S3_BUCKET: `split-${crypto.randomUUID()}`,
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([postgres.stop(), clickhouse.stop(), redis[Symbol.asyncDispose]()])
      await rm(directory, { recursive: true, force: true })
    },
  }
}

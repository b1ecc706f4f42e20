import { createRedisBus } from '@conntext/bus'
import { type Environment, parseConfig, readEnvironment, silentLogger } from '@conntext/kernel'
import { messagingRules, messagingSettings, toMessagingConfig } from '@conntext/messaging/settings'
import { addressSetting, addressSettings, NEIGHBOURS, processSettings, urlsOf } from '@conntext/runtime'
import { clickHouseSettings, toClickHouseConfig } from '@conntext/system/settings'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { openSplitPlace } from '../split-place.ts'
import { newestMessage, postgres } from './data.ts'
import { clickhouse, objectStore } from './external.ts'
import { type Check, fault, ok } from './finding.ts'
import { apart, service, skew } from './network.ts'

const addresses = addressSettings(NEIGHBOURS)

const Settings = Type.Object({
  ...clickHouseSettings,
  ...messagingSettings,
  ...Type.Partial(Type.Object(addresses)).properties,
  CONNTEXT_REDIS_URL: Type.Optional(processSettings.CONNTEXT_REDIS_URL),
  CONNTEXT_REDIS_PASSWORD: processSettings.CONNTEXT_REDIS_PASSWORD,
  CONNTEXT_REDIS_PREFIX: processSettings.CONNTEXT_REDIS_PREFIX,
})

/**
 * What there is to look at of a split deployment: each engine and service that the environment names.
 * @throws ConfigError
 */
export function checksOfSplit(environment: Environment): Check[] {
  const all = readEnvironment(environment)
  const env = parseConfig(Settings, all, messagingRules)
  const engine = toClickHouseConfig(env)
  const { s3 } = toMessagingConfig(env)
  const services = NEIGHBOURS.flatMap((name) =>
    urlsOf(all[addressSetting(name)] ?? '')
      .filter((url) => url !== '')
      .map((url) => service(`${name} at ${url}`, url)),
  )
  return [
    ...databases(environment),
    ...(engine ? [clickhouse(engine), skew('ClickHouse', engine.url)] : []),
    ...(s3 ? [objectStore(s3), skew('the object store', s3.endpoint)] : []),
    ...(env.CONNTEXT_REDIS_URL
      ? [
          redis({
            urls: urlsOf(env.CONNTEXT_REDIS_URL),
            prefix: env.CONNTEXT_REDIS_PREFIX,
            password: env.CONNTEXT_REDIS_PASSWORD,
          }),
        ]
      : []),
    ...services,
  ]
}

function databases(environment: Environment): Check[] {
  const at = (about: string, look: (place: Awaited<ReturnType<typeof openSplitPlace>>) => Check): Check => ({
    about,
    async run() {
      const place = await openSplitPlace(environment)
      try {
        return await look(place).run()
      } finally {
        await place.close()
      }
    },
  })
  return [
    at('Postgres', postgres),
    at('clock of Postgres', ({ db }) => ({
      about: 'clock of Postgres',
      async run() {
        const before = Date.now()
        const rows = await db.execute(sql`select extract(epoch from clock_timestamp()) * 1000 as now`)
        return apart(Number((rows[0] as { now: string }).now) - (before + Date.now()) / 2)
      },
    })),
    at('order of time', newestMessage),
  ]
}

type RedisServers = { urls: string[]; prefix: string; password: string | undefined }

const redis = ({ password, ...servers }: RedisServers): Check => ({
  about: 'Redis',
  async run() {
    const bus = createRedisBus({ ...servers, log: silentLogger, ...(password === undefined ? {} : { password }) })
    try {
      await bus.check()
      return ok('what is published is heard')
    } catch (error) {
      return fault(
        `what is published is not heard (${(error as Error).message})`,
        'Start it, or correct CONNTEXT_REDIS_URL and CONNTEXT_REDIS_PASSWORD.',
      )
    } finally {
      await bus.close()
    }
  },
})

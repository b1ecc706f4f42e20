import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { EmbeddedError } from '@conntext/embedded'
import { ConfigError, type Environment, StartError } from '@conntext/kernel'
import { createSmtpMailer } from '@conntext/mailer'
import { loadConfig, type ServerConfig } from '../../config.ts'
import { openDataPlace, type Place } from '../place.ts'
import { isSplit } from '../split-place.ts'
import { masterKey, newestMessage, postgres } from './data.ts'
import { clickhouse, mail, objectStore } from './external.ts'
import type { Check, Finding } from './finding.ts'
import { clock, memory, openFiles, space } from './machine.ts'
import { localUrl, port, publicUrl, service, skew } from './network.ts'
import { mediaWorker } from './programs.ts'
import { checksOfSplit } from './split.ts'

/**
 * Looks at all that the server of this environment needs, be it running or not, one thing after the other: what is wrong
 * with one keeps none of the others from being looked at.
 */
export async function* examine(env: Environment): AsyncGenerator<Finding> {
  if (isSplit(env)) {
    const checks = readConfig(() => checksOfSplit(env))
    if ('faults' in checks) return yield* checks.faults
    return yield* all([memory, openFiles, clock, ...checks.config])
  }
  const read = readConfig(() => loadConfig(env))
  if ('faults' in read) return yield* read.faults
  const { config } = read
  yield* configurationOf(config)
  yield* all([memory, openFiles, clock, space(existing(resolve(config.data)))])
  yield* await dataOf(config)
  yield* all(outsideOf(config, env))
}

async function* all(checks: Check[]): AsyncGenerator<Finding> {
  for (const { about, run } of checks) {
    yield { about, ...(await run().catch((error: Error) => ({ state: 'fault' as const, told: error.message }))) }
  }
}

function readConfig<T>(read: () => T): { config: T } | { faults: Finding[] } {
  try {
    return { config: read() }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const faults = error.faults.map(({ setting, message }) => ({
      about: 'configuration',
      state: 'fault' as const,
      told: `${setting} ${message}`,
      remedy: 'The server does not start with it: correct it.',
    }))
    return { faults }
  }
}

function configurationOf({ unknown }: ServerConfig): Finding[] {
  if (unknown.length === 0) return [{ about: 'configuration', state: 'ok', told: 'every setting is one' }]
  return unknown.map((name) => ({
    about: 'configuration',
    state: 'warning',
    told: `${name} is not a setting of ConnText; it does nothing`,
    remedy: 'Correct its name, or take it out.',
  }))
}

/** What is in the data directory; for which the database is started where no server runs. */
async function dataOf(config: ServerConfig): Promise<AsyncGenerator<Finding> | Finding[]> {
  if (!existsSync(join(config.data, 'lock.db'))) {
    const nothing: Finding = {
      about: 'data',
      state: 'ok',
      told: `nothing in ${config.data} yet: the first start makes it`,
    }
    return [nothing, ...(await Array.fromAsync(all([port(config.gateway, false)])))]
  }
  const key = masterKey(config.data)
  try {
    return whole(await openDataPlace(config), config, key)
  } catch (error) {
    if (!(error instanceof StartError || error instanceof EmbeddedError)) throw error
    return [...(await Array.fromAsync(all([key]))), { about: 'data', state: 'fault', told: error.message }]
  }
}

async function* whole(place: Place, config: ServerConfig, key: Check): AsyncGenerator<Finding> {
  try {
    yield* all([key, postgres(place), newestMessage(place), port(config.gateway, place.running)])
    if (place.running && config.gateway.port !== 0) yield* all([service('server', localUrl(config.gateway))])
  } finally {
    await place.close()
  }
}

function outsideOf(config: ServerConfig, env: Environment): Check[] {
  const { s3, smtp } = config
  const engine = config.clickhouse
  return [
    ...(engine ? [clickhouse(engine), skew('ClickHouse', engine.url)] : []),
    ...(s3 ? [objectStore(s3), skew('the object store', s3.endpoint)] : []),
    mediaWorker,
    publicUrl(config.publicUrl, Boolean(env.CONNTEXT_PUBLIC_URL)),
    mail(smtp && createSmtpMailer(smtp)),
  ]
}

/** The absolute path, or what there is of it. */
function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}

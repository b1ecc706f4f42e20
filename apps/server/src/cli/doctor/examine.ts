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
  try {
    if (isSplit(env)) yield* all([memory, openFiles, clock, ...checksOfSplit(env)])
    else yield* ofOneProcess(loadConfig(env), env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const { setting, message } of error.faults) {
      const remedy = 'The server does not start with it: correct it.'
      yield { about: 'configuration', state: 'fault', told: `${setting} ${message}`, remedy }
    }
  }
}

async function* ofOneProcess(config: ServerConfig, env: Environment): AsyncGenerator<Finding> {
  yield* configurationOf(config)
  yield* all([memory, openFiles, clock, space(existing(resolve(config.data)))])
  yield* dataOf(config)
  yield* all(outsideOf(config, env))
}

async function* all(checks: Check[]): AsyncGenerator<Finding> {
  for (const { about, run } of checks) {
    yield { about, ...(await run().catch((error: Error) => ({ state: 'fault' as const, told: error.message }))) }
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
async function* dataOf(config: ServerConfig): AsyncGenerator<Finding> {
  if (!existsSync(join(config.data, 'lock.db'))) {
    yield { about: 'data', state: 'ok', told: `nothing in ${config.data} yet: the first start makes it` }
    yield* all([port(config.gateway, false)])
    return
  }
  yield* all([masterKey(config.data)])
  const place = await openDataPlace(config).catch((error: unknown) => {
    if (error instanceof StartError || error instanceof EmbeddedError) return error.message
    throw error
  })
  if (typeof place === 'string') yield { about: 'data', state: 'fault', told: place }
  else yield* withinPlace(place, config)
}

async function* withinPlace(place: Place, config: ServerConfig): AsyncGenerator<Finding> {
  try {
    yield* all([postgres(place), newestMessage(place), port(config.gateway, place.running)])
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

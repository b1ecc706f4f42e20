// Gets what stands in for containers of docker/compose.yml into the cache: from Debian's packages, unpacked and not
// installed. What can't be had is left out.
import { join } from 'node:path'
import { locateProgram, type ProgramName, programCache, programs } from '@conntext/testing/stack'
import { PackagesUnavailable, type Unpacking, unpackPackages } from '../lib/debian-packages.ts'
import { acquireLock } from '../lib/lock.ts'
import { getRadosgw } from '../radosgw/get.ts'
import { getRedis } from '../redis/get.ts'

type Say = (line: string) => void

const libraries = ['./usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*']

/** coturn's own libraries are named, since the machine may have some of them and not others. */
const packages: Record<ProgramName, Unpacking['packages']> = {
  caddy: ['caddy'],
  turnserver: ['coturn'],
}

/** Answers whether the program is there, after downloading it if need be. */
export async function getProgram(name: ProgramName, say: Say, signal?: AbortSignal): Promise<boolean> {
  if (locateProgram(name)) return true
  const folder = programCache()
  await using _lock = await acquireLock(join(folder, `${name}.lock`), () => say('another run is getting it; waiting'))
  if (locateProgram(name)) return true
  say(`downloading Debian's ${packages[name][0]}: once`)
  const files = [`./${programs[name].path}`, ...libraries]
  // Without the epoch: a colon would end a path to its libraries.
  const called = (version: string) => `${name}-${version.replace(/^\d+:/, '')}`
  try {
    await unpackPackages({ packages: packages[name], files, folder, name: called, signal })
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    say(error.message)
  }
  return locateProgram(name) !== undefined
}

/** Gets all that a stack needs from Debian. @throws PackagesUnavailable where one is missing that it can't do without */
export async function getStandIns(say: Say, signal?: AbortSignal): Promise<void> {
  await getRedis(say, signal)
  await getRadosgw(say, signal)
  for (const name of ['caddy', 'turnserver'] as const) await getProgram(name, say, signal)
}

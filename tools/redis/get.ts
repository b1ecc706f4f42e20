// Gets Redis, over which the bus between processes is tested, into the cache: from Debian's packages, unpacked and not
// installed. `npm test` does.
import { join } from 'node:path'
import { locateRedis, redisCache, redisPrograms } from '@conntext/testing/redis'
import { PackagesUnavailable, type Unpacking, unpackPackages } from '../lib/debian-packages.ts'
import { acquireLock } from '../lib/lock.ts'

type Say = (line: string) => void

const packages: Unpacking['packages'] = ['redis-server', 'redis-tools']
const files = [...redisPrograms.map((name) => `./usr/bin/${name}`), './usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*']

/** Answers a Redis server that runs, after downloading one (some 2 MB) if need be. @throws PackagesUnavailable */
export async function getRedis(say: Say, signal?: AbortSignal): Promise<string> {
  const folder = redisCache()
  const present = locateRedis(folder)
  if (present) return present.server
  await using _lock = await acquireLock(join(folder, 'redis.lock'), () => say('another run is getting it; waiting'))
  const meanwhile = locateRedis(folder)
  if (meanwhile) return meanwhile.server
  say("downloading Redis's packages, to test against: once")
  // Without the epoch: a colon would end a path to its libraries.
  const name = (version: string) => `redis-${version.replace(/^\d+:/, '')}`
  await unpackPackages({ packages, files, folder, name, signal })
  const found = locateRedis(folder)
  if (!found) throw new PackagesUnavailable("Redis was downloaded, but doesn't run here")
  return found.server
}

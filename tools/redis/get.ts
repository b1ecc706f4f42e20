// Gets Redis, over which the bus between processes is tested, into the cache: from Debian's packages, unpacked and not
// installed. `npm test` does.
import { locateRedis, redisPrograms } from '@conntext/testing/redis'
import { getFromDebian } from '../lib/debian-packages.ts'

/** Answers a Redis server that runs, after downloading one (some 2 MB) if need be. @throws PackagesUnavailable */
export async function getRedis(say: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const { server } = await getFromDebian(
    {
      name: 'redis',
      what: "Redis's packages, to test against",
      packages: ['redis-server', 'redis-tools'],
      files: [...redisPrograms.map((name) => `./usr/bin/${name}`), './usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*'],
      locate: locateRedis,
    },
    say,
    signal,
  )
  return server
}

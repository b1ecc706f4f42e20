import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianCache, environmentOf, librariesIn, unpackedVersions, versionIn } from '../debian.ts'

/** The programs that tests use, and the one that Debian's `redis-server` is a link to. */
export const redisPrograms = ['redis-server', 'redis-cli', 'redis-check-rdb']

// Sharded channels came with it.
const OLDEST = '7.0.0'

/** Redis's programs, and the environment in which they find their libraries. */
export interface Redis {
  server: string
  cli: string
  env: Record<string, string>
}

/** The Redis of this machine, or the newest one in the cache that runs here, or nothing. `npm test` puts one there. */
export function locateRedis(cache: string = debianCache()): Redis | undefined {
  const [server, cli] = ['redis-server', 'redis-cli'].map((name) => Bun.which(name))
  const installed = server && cli ? { server, cli, env: environmentOf([]) } : undefined
  if (installed && runs(installed)) return installed
  return unpackedVersions('redis', cache)
    .map(redisIn)
    .find((redis) => redis && runs(redis))
}

/** The Redis in a folder, where it is complete. */
function redisIn(folder: string): Redis | undefined {
  const [server, cli] = ['redis-server', 'redis-cli'].map((name) => join(folder, 'usr/bin', name))
  if (!server || !cli || !existsSync(server) || !existsSync(cli)) return undefined
  return { server, cli, env: environmentOf(librariesIn(folder)) }
}

/** Whether it is recent enough, and all libraries are found: those of another release of the system may be missing. */
function runs({ server, cli, env }: Redis): boolean {
  const [first, second] = [server, cli].map((program) =>
    Bun.spawnSync([program, '--version'], { env, stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  if (first?.exitCode !== 0 || second?.exitCode !== 0) return false
  return Bun.semver.order(versionIn(first.stdout.toString()), OLDEST) >= 0
}

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { radosgwCache } from '../radosgw/locate.ts'

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

/** Where tools/redis keeps what it gets: one folder a version. */
export const redisCache = radosgwCache

/** The Redis of this machine, or the newest one in the cache that runs here, or nothing. `npm test` puts one there. */
export function locateRedis(cache: string = redisCache()): Redis | undefined {
  const [server, cli] = ['redis-server', 'redis-cli'].map((name) => Bun.which(name))
  const installed = server && cli ? { server, cli, env: environment([]) } : undefined
  if (installed && runs(installed)) return installed
  if (!existsSync(cache)) return undefined
  const names = readdirSync(cache).filter((name) => /^redis-[^/]*\d$/.test(name))
  const newestFirst = names.sort((one, other) => Bun.semver.order(versionIn(other), versionIn(one)))
  return newestFirst.map((name) => redisIn(join(cache, name))).find((redis) => redis && runs(redis))
}

const versionIn = (text: string): string => /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '0.0.0'

/** The Redis in a folder, where it is complete. */
function redisIn(folder: string): Redis | undefined {
  const [server, cli] = ['redis-server', 'redis-cli'].map((name) => join(folder, 'usr/bin', name))
  if (!server || !cli || !existsSync(server) || !existsSync(cli)) return undefined
  const libraries = ['usr/lib/*-linux-gnu', 'lib/*-linux-gnu'].flatMap((pattern) => [
    ...new Bun.Glob(pattern).scanSync({ cwd: folder, onlyFiles: false }),
  ])
  return { server, cli, env: environment(libraries.map((path) => join(folder, path))) }
}

/** Whether it is recent enough, and all libraries are found: those of another release of the system may be missing. */
function runs({ server, cli, env }: Redis): boolean {
  const [first, second] = [server, cli].map((program) =>
    Bun.spawnSync([program, '--version'], { env, stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  if (first?.exitCode !== 0 || second?.exitCode !== 0) return false
  return Bun.semver.order(versionIn(first.stdout.toString()), OLDEST) >= 0
}

/** Nothing of ours but the path and the folders: settings for tests are no concern of theirs. */
function environment(libraries: string[]): Record<string, string> {
  const inherited = process.env.LD_LIBRARY_PATH ? [process.env.LD_LIBRARY_PATH] : []
  const path = [...libraries, ...inherited].join(':')
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    ...(path !== '' && { LD_LIBRARY_PATH: path }),
    // By this, what a test run leaves behind is found.
    ...(process.env.CONNTEXT_TEST_RUN && { CONNTEXT_TEST_RUN: process.env.CONNTEXT_TEST_RUN }),
  }
}

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { radosgwCache } from '../radosgw/locate.ts'

/** A program of Debian's, and the environment in which it finds its libraries. */
export interface Program {
  path: string
  env: Record<string, string>
}

export const programs = {
  caddy: { path: 'usr/bin/caddy', check: 'version' },
  turnserver: { path: 'usr/bin/turnserver', check: '--help' },
} as const
export type ProgramName = keyof typeof programs

/** Where tools/stack keeps what it gets: one folder a version. */
export const programCache: typeof radosgwCache = radosgwCache

/** This machine's own, or the one in the cache that runs here, or nothing. `bun run stack` puts one there. */
export function locateProgram(name: ProgramName, cache: string = programCache()): Program | undefined {
  const installed = Bun.which(name)
  if (installed) return { path: installed, env: environment([]) }
  if (!existsSync(cache)) return undefined
  const folders = readdirSync(cache).filter((folder) => folder.startsWith(`${name}-`) && /\d$/.test(folder))
  return folders.map((folder) => programIn(join(cache, folder), name)).find((found) => found && runs(found, name))
}

function programIn(folder: string, name: ProgramName): Program | undefined {
  const path = join(folder, programs[name].path)
  if (!existsSync(path)) return undefined
  const libraries = ['usr/lib/*-linux-gnu', 'lib/*-linux-gnu'].flatMap((pattern) => [
    ...new Bun.Glob(pattern).scanSync({ cwd: folder, onlyFiles: false }),
  ])
  return { path, env: environment(libraries.map((library) => join(folder, library))) }
}

/** What can't be loaded ends with 127. */
const runs = ({ path, env }: Program, name: ProgramName): boolean =>
  Bun.spawnSync([path, programs[name].check], { env, stdio: ['ignore', 'ignore', 'ignore'] }).exitCode !== 127

function environment(libraries: string[]): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(':') }),
    // By this, what a test run leaves behind is found.
    ...(process.env.CONNTEXT_TEST_RUN && { CONNTEXT_TEST_RUN: process.env.CONNTEXT_TEST_RUN }),
  }
}

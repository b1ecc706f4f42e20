import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianCache, environmentOf, librariesIn, unpackedVersions } from '../debian.ts'

/** A program of Debian's, and the environment in which it finds its libraries. */
export interface Program {
  path: string
  env: Record<string, string>
}

export const programs = {
  caddy: { path: 'usr/bin/caddy', check: 'version' },
  turnserver: { path: 'usr/bin/turnserver', check: '--help' },
  prometheus: { path: 'usr/bin/prometheus', check: '--version' },
} as const
export type ProgramName = keyof typeof programs

/** This machine's own, or the one in the cache that runs here, or nothing. `bun run stack` puts one there. */
export function locateProgram(name: ProgramName, cache: string = debianCache()): Program | undefined {
  const installed = Bun.which(name)
  if (installed) return { path: installed, env: environmentOf([]) }
  return unpackedVersions(name, cache)
    .map((folder) => programIn(folder, name))
    .find((found) => found && runs(found, name))
}

function programIn(folder: string, name: ProgramName): Program | undefined {
  const path = join(folder, programs[name].path)
  if (!existsSync(path)) return undefined
  return { path, env: environmentOf(librariesIn(folder)) }
}

/** What can't be loaded ends with 127. */
const runs = ({ path, env }: Program, name: ProgramName): boolean =>
  Bun.spawnSync([path, programs[name].check], { env, stdio: ['ignore', 'ignore', 'ignore'] }).exitCode !== 127

import { join } from 'node:path'
import { runGroup } from './process-group.ts'
import { root } from './root.ts'

const bin = (name: string) => join(root, 'node_modules', '.bin', name)

/** Turborepo sends nothing anywhere and never offers updates. */
export const turboEnv = {
  TURBO_TELEMETRY_DISABLED: '1',
  DO_NOT_TRACK: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
}

/** How to run Turborepo; through Bun, since its launcher asks for a Node that may not be there. */
export const turbo = [process.execPath, bin('turbo'), 'run']

const checks = {
  biome: [process.execPath, bin('biome'), 'ci', ...(process.stderr.isTTY ? [] : ['--colors=off'])],
  typecheck: [...turbo, 'typecheck', '--concurrency=2', '--output-logs=errors-only', '--continue=always'],
  imports: [process.execPath, join(root, 'tools', 'check-imports.ts')],
} satisfies Record<string, string[]>

export type StaticCheck = keyof typeof checks
export const staticChecks = Object.keys(checks) as StaticCheck[]

/** Runs one check, its output going to stderr, and says whether it holds. */
export async function runStaticCheck(name: StaticCheck, signal?: AbortSignal): Promise<boolean> {
  const env = { ...process.env, ...turboEnv }
  return (await runGroup(checks[name], { env, stdio: ['ignore', 2, 2], signal })) === 0
}

import { constants, readFileSync } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { workerRecipe } from './recipe.ts'

type Environment = Record<string, string | undefined>

/** Where a worker binary was found, or why there is none and what to do about it. */
export type WorkerLocation =
  | { kind: 'found'; path: string; source: 'environment' | 'cache' | 'package' }
  | {
      kind: 'missing'
      reason: string
      remedy: string
      /** By MEDIASOUP_WORKER_BIN: no other will do. */
      isNamed?: boolean
    }

export interface LocateOptions {
  env?: Environment
  /** The folder of the installed mediasoup package. */
  packageFolder?: string
}

export const remedy = 'Run `npm run worker:build`, or set MEDIASOUP_WORKER_BIN to a mediasoup-worker.'

/** The folder of the installed mediasoup package. */
export function mediasoupFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('mediasoup/package.json'))
}

/** Read from its manifest: importing mediasoup just to ask would fix the worker's path before it is known. */
function mediasoupVersion(): string {
  return JSON.parse(readFileSync(join(mediasoupFolder(), 'package.json'), 'utf8')).version
}

/** Where the worker for this version, recipe and machine is kept once it was downloaded or built. */
export function cachedWorkerPath(env: Environment = process.env): string {
  const base = env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache')
  const variant = `${mediasoupVersion()}-${workerRecipe}-${process.platform}-${process.arch}`
  return join(base, 'conntext', 'mediasoup-worker', variant, 'mediasoup-worker')
}

/** The binary inside the mediasoup package, where its own install script puts it. */
export function packagedWorkerPath(packageFolder = mediasoupFolder()): string {
  return join(packageFolder, 'worker', 'out', 'Release', 'mediasoup-worker')
}

/**
 * Looks for an executable mediasoup-worker: the one that MEDIASOUP_WORKER_BIN names (nothing else counts when it
 * is set), the cache, the mediasoup package. Starting a worker that isn't there would end the whole process.
 */
export async function locateWorker(options: LocateOptions = {}): Promise<WorkerLocation> {
  const env = options.env ?? process.env
  const named = env.MEDIASOUP_WORKER_BIN
  if (named) {
    if (await isExecutable(named)) return { kind: 'found', path: named, source: 'environment' }
    const reason = `MEDIASOUP_WORKER_BIN names ${named}, which is not an executable file`
    return { kind: 'missing', reason, remedy: 'Correct or unset MEDIASOUP_WORKER_BIN.', isNamed: true }
  }
  const cached = cachedWorkerPath(env)
  if (await isExecutable(cached)) return { kind: 'found', path: cached, source: 'cache' }
  const packaged = packagedWorkerPath(options.packageFolder)
  if (await isExecutable(packaged)) return { kind: 'found', path: packaged, source: 'package' }
  return { kind: 'missing', reason: `no mediasoup-worker ${mediasoupVersion()} for this machine`, remedy }
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}

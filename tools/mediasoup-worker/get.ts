// Gets mediasoup-worker, the native part of mediasoup, into the cache: the binary that its authors publish for
// this machine, else one built from the sources in the npm package. `npm run worker:build`, `npm test`, and, as a
// process beside the server (`--report`), `npm start`.
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  cachedWorkerPath,
  isRunnableWorker,
  locateWorker,
  mediasoupFolder,
  packagedWorkerPath,
  type WorkerReport,
} from '@conntext/realtime/worker'
import { acquireLock } from '../lib/lock.ts'
import { build } from './build.ts'
import { install } from './install.ts'
import { ELSEWHERE, WorkerUnavailable } from './unavailable.ts'

export { WorkerUnavailable } from './unavailable.ts'
export type Say = (line: string) => void

const here = import.meta.dir
/** How long the host of published binaries may take to be reached, and then for one of them. */
const REACH_MS = 10_000
const DOWNLOAD_MS = 300_000
const PUBLISHED = 'https://github.com/versatica/mediasoup/releases'

/** Answers the path of a working mediasoup-worker, after downloading or building one if need be. */
export async function getWorker(say: Say, signal?: AbortSignal): Promise<string> {
  const present = await locateWorker()
  if (present.kind === 'found') return present.path
  if (process.env.MEDIASOUP_WORKER_BIN) throw new WorkerUnavailable(present.reason, present.remedy)
  const target = cachedWorkerPath()
  const cache = dirname(dirname(target))
  await makeCache(cache)
  await using _lock = await acquireLock(join(cache, '.lock'), () =>
    say('another start is getting it: waiting for that'),
  )
  const meanwhile = await locateWorker()
  if (meanwhile.kind === 'found') return meanwhile.path
  if (!(await download(target, say, signal))) await build(target, say, signal)
  return target
}

async function makeCache(cache: string): Promise<void> {
  try {
    await mkdir(cache, { recursive: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const remedy = 'Set XDG_CACHE_HOME to a folder that can be written to.'
    throw new WorkerUnavailable(`There is no place for mediasoup-worker: ${cache} can't be made (${code})`, remedy)
  }
}

/** Runs mediasoup's own install script for its prebuilt binary, and nothing of its build, which needs more. */
async function download(target: string, say: Say, signal?: AbortSignal): Promise<boolean> {
  say('a published binary is being looked for')
  if (!(await isPublisherReachable(signal))) {
    say('the host of published binaries is out of reach')
    return false
  }
  const folder = mediasoupFolder()
  const child = Bun.spawn([process.execPath, 'npm-scripts.mjs', 'postinstall'], {
    cwd: folder,
    // Its build starts with Python: without one it stops there.
    env: { ...process.env, PYTHON: join(here, 'no-python') },
    stdio: ['ignore', 'ignore', 'ignore'],
    timeout: DOWNLOAD_MS,
    killSignal: 'SIGKILL',
    ...(signal && { signal }),
  })
  await child.exited
  const packaged = packagedWorkerPath(folder)
  if (!(await isRunnableWorker(packaged))) {
    await rm(dirname(packaged), { recursive: true, force: true }).catch(() => {})
    say('there is no published binary for this machine')
    return false
  }
  await install(packaged, target)
  say('downloaded')
  return true
}

async function isPublisherReachable(signal?: AbortSignal): Promise<boolean> {
  const host = process.env.MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL || PUBLISHED
  const limit = AbortSignal.timeout(REACH_MS)
  try {
    await fetch(host, { method: 'HEAD', signal: signal ? AbortSignal.any([signal, limit]) : limit })
    return true
  } catch {
    return false
  }
}

/** For a server that has started this beside it: what happens, a JSON object a line. */
async function report(): Promise<number> {
  const tell = (line: WorkerReport) => console.log(JSON.stringify(line))
  const ended = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => ended.abort())
  try {
    await getWorker((words) => tell({ words }), ended.signal)
    return 0
  } catch (error) {
    if (error instanceof WorkerUnavailable) tell({ reason: error.reason, remedy: error.remedy })
    else tell({ reason: `Getting mediasoup-worker failed: ${String(error)}`, remedy: ELSEWHERE })
    return 1
  }
}

async function run(): Promise<number> {
  try {
    console.log(await getWorker((line) => console.error(`mediasoup-worker: ${line}`)))
    return 0
  } catch (error) {
    if (!(error instanceof WorkerUnavailable)) throw error
    console.error(`mediasoup-worker: ${error.message}`)
    return 1
  }
}

if (import.meta.main) process.exit(await (process.argv.includes('--report') ? report() : run()))

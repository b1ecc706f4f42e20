import { closeSync, openSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { availableParallelism, freemem } from 'node:os'
import { dirname, join } from 'node:path'
import { isRunnableWorker, mediasoupFolder } from '@conntext/realtime/worker'
import { runGroup } from '../lib/process-group.ts'
import type { Say } from './get.ts'
import { install } from './install.ts'
import { ELSEWHERE, WorkerUnavailable } from './unavailable.ts'

const here = import.meta.dir
const PROGRESS_EVERY_MS = 10_000
const JOB_BYTES = 1e9

/** What build.sh needs, as Debian 12 calls it. */
const debianPackages = [
  'g++',
  'make',
  'libuv1-dev',
  'libssl-dev',
  'libflatbuffers-dev',
  'flatbuffers-compiler',
  'curl',
  'ca-certificates',
]

/**
 * Builds the worker into the cache, with low priority. A build that was killed goes on where it was. What the compiler
 * says goes into a file beside it.
 * @throws WorkerUnavailable
 */
export async function build(target: string, say: Say, signal?: AbortSignal): Promise<void> {
  await provideDebianPackages(say)
  const cache = dirname(dirname(target))
  const folder = join(cache, `.build-${target.slice(cache.length + 1, -'/mediasoup-worker'.length)}`)
  const logFile = join(cache, 'build.log')
  const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / JOB_BYTES)))
  await mkdir(folder, { recursive: true })
  say(`it is being built from source, with low priority and ${jobs} at a time: some minutes, once`)
  const started = Date.now()
  const built = join(folder, 'built')
  const command = ['nice', '-n', '19', join(here, 'build.sh'), mediasoupFolder(), built]
  const log = openSync(logFile, 'w')
  const progress = setInterval(() => void tellProgress(folder, started, say), PROGRESS_EVERY_MS)
  try {
    const code = await runGroup([...alone(folder), ...command], {
      stdio: ['ignore', log, log],
      env: { ...process.env, JOBS: String(jobs), BUILD_DIR: folder },
      signal,
    })
    if (signal?.aborted) throw new WorkerUnavailable('Building it was interrupted', 'It goes on at the next start.')
    if (code !== 0) throw new WorkerUnavailable(await failure(logFile), `All of it is in ${logFile}. ${ELSEWHERE}`)
    if (!(await isRunnableWorker(built))) {
      throw new WorkerUnavailable('The mediasoup-worker that was built does not run on this machine', ELSEWHERE)
    }
    await install(built, target)
    await discardBuilds(cache)
    say(`built in ${Math.round((Date.now() - started) / 1000)} s`)
  } finally {
    clearInterval(progress)
    closeSync(log)
  }
}

/** What a builder that was killed with -9 has started may go on: it ends before anything is built beside it. */
const alone = (folder: string): string[] => (Bun.which('flock') ? ['flock', join(folder, '.lock')] : [])

async function failure(logFile: string): Promise<string> {
  const lines = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n')
  const told = lines.findLast((line) => /error|build\.sh:|No space left/i.test(line)) ?? lines.at(-1) ?? ''
  return `Building mediasoup-worker failed: ${told.trim().slice(0, 200)}`
}

async function tellProgress(folder: string, started: number, say: Say): Promise<void> {
  const [files, makefile] = await Promise.all([
    readdir(join(folder, 'obj'), { recursive: true }).catch(() => []),
    readFile(join(folder, 'Makefile'), 'utf8').catch(() => ''),
  ])
  const done = files.filter((file) => file.endsWith('.o')).length
  const all = makefile.match(/\.cpp\.o:|\.cc\.o:|\.c\.o:/g)?.length ?? 0
  const of = all > 0 ? ` of ${all}` : ''
  say(`it is being built from source: ${done}${of} files after ${Math.round((Date.now() - started) / 1000)} s`)
}

/** Also those of other versions, which nobody will go on with. */
async function discardBuilds(cache: string): Promise<void> {
  const builds = (await readdir(cache)).filter((name) => name.startsWith('.build-'))
  for (const name of builds) await rm(join(cache, name), { recursive: true, force: true })
}

async function provideDebianPackages(say: Say): Promise<void> {
  if (!Bun.which('apt-get') || !Bun.which('dpkg-query')) {
    const reason = 'There is no prebuilt mediasoup-worker at hand, and the recipe to build one is for Debian 12'
    throw new WorkerUnavailable(reason, ELSEWHERE)
  }
  const missing = debianPackages.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  const wanted = missing.join(' ')
  if (process.getuid?.() !== 0) {
    const reason = 'Building mediasoup-worker needs Debian packages that are not installed'
    throw new WorkerUnavailable(reason, `Run as root: apt-get install ${wanted}`)
  }
  say(`Debian's ${wanted} are being installed to build it with`)
  const child = Bun.spawn([join(here, 'install-deps.sh')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [told, code] = [await new Response(child.stderr).text(), await child.exited]
  if (code === 0) return
  const why = told.trim().split('\n').at(-1) ?? ''
  throw new WorkerUnavailable(`apt-get could not install ${wanted}: ${why}`, `Install them, or: ${ELSEWHERE}`)
}

function isInstalled(name: string): boolean {
  const { stdout } = Bun.spawnSync(['dpkg-query', '-W', '-f', '$' + '{Status}', name], { stderr: 'ignore' })
  return stdout.toString().endsWith(' installed')
}

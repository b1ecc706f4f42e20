// Gets mediasoup-worker, the native part of mediasoup, into the cache: the binary that its authors publish for
// this machine, else one built from the sources in the npm package. `npm run worker:build`, and `npm test`.
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import {
  cachedWorkerPath,
  isRunnableWorker,
  locateWorker,
  mediasoupFolder,
  packagedWorkerPath,
} from '@conntext/realtime/worker'
import { acquireLock } from '../lib/lock.ts'
import { runGroup } from '../lib/process-group.ts'

type Say = (line: string) => void

/** Why there is no worker, in words for whoever runs this. */
export class WorkerUnavailable extends Error {}

const here = import.meta.dir
const downloadSeconds = 20

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

/** Answers the path of a working mediasoup-worker, after downloading or building one if need be. */
export async function getWorker(say: Say, signal?: AbortSignal): Promise<string> {
  const present = await locateWorker()
  if (present.kind === 'found') return present.path
  if (process.env.MEDIASOUP_WORKER_BIN) throw new WorkerUnavailable(`${present.reason}. ${present.remedy}`)
  const target = cachedWorkerPath()
  const waiting = () => say('another run is getting the worker; waiting for it')
  await using _lock = await acquireLock(join(dirname(dirname(target)), '.lock'), waiting)
  const meanwhile = await locateWorker()
  if (meanwhile.kind === 'found') return meanwhile.path
  if (!(await download(target, say, signal))) await build(target, say, signal)
  return target
}

/** Runs mediasoup's own install script for its prebuilt binary, and nothing of its build, which needs more. */
async function download(target: string, say: Say, signal?: AbortSignal): Promise<boolean> {
  say(`looking for a prebuilt mediasoup-worker (at most ${downloadSeconds} s)`)
  const folder = mediasoupFolder()
  const child = Bun.spawn([process.execPath, 'npm-scripts.mjs', 'postinstall'], {
    cwd: folder,
    // Its build starts with Python: without one it stops there.
    env: { ...process.env, PYTHON: join(here, 'no-python') },
    stdio: ['ignore', 'ignore', 'ignore'],
    timeout: downloadSeconds * 1000,
    killSignal: 'SIGKILL',
    ...(signal && { signal }),
  })
  await child.exited
  const packaged = packagedWorkerPath(folder)
  if (!(await isRunnableWorker(packaged))) {
    await rm(dirname(packaged), { recursive: true, force: true }).catch(() => {})
    say('there is none, or its host is out of reach')
    return false
  }
  await install(packaged, target)
  say(`downloaded to ${target}`)
  return true
}

async function build(target: string, say: Say, signal?: AbortSignal): Promise<void> {
  await provideDebianPackages(say)
  const folder = await mkdtemp(join(tmpdir(), 'mediasoup-worker-'))
  const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 1.5e9)))
  try {
    say(`building mediasoup-worker from source, ${jobs} jobs: some minutes, once`)
    const started = Date.now()
    const built = join(folder, 'built')
    const progress = setInterval(() => void tellProgress(folder, started, say), 20_000)
    const code = await runGroup(['nice', '-n', '10', join(here, 'build.sh'), mediasoupFolder(), built], {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, JOBS: String(jobs), BUILD_DIR: folder },
      signal,
    })
    clearInterval(progress)
    if (code !== 0) throw new WorkerUnavailable(`building mediasoup-worker failed (build.sh ended with ${code})`)
    if (!(await isRunnableWorker(built)))
      throw new WorkerUnavailable('the mediasoup-worker that was built does not run')
    await install(built, target)
    say(`built ${target} in ${Math.round((Date.now() - started) / 1000)} s`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function tellProgress(folder: string, started: number, say: Say): Promise<void> {
  const files = await readdir(join(folder, 'obj'), { recursive: true }).catch(() => [])
  const objects = files.filter((file) => file.endsWith('.o')).length
  say(`${objects} files compiled after ${Math.round((Date.now() - started) / 1000)} s`)
}

async function provideDebianPackages(say: Say): Promise<void> {
  if (!Bun.which('apt-get') || !Bun.which('dpkg-query')) {
    throw new WorkerUnavailable(
      'there is no prebuilt mediasoup-worker at hand, and the recipe to build one is for Debian 12. Set MEDIASOUP_WORKER_BIN to one built elsewhere.',
    )
  }
  const missing = debianPackages.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) {
    throw new WorkerUnavailable(
      `building mediasoup-worker needs Debian packages. Install them as root: apt-get install ${missing.join(' ')}`,
    )
  }
  say(`installing ${missing.join(' ')}`)
  const { exitCode } = Bun.spawnSync([join(here, 'install-deps.sh')], { stdio: ['ignore', 2, 2] })
  if (exitCode !== 0) throw new WorkerUnavailable(`apt-get could not install ${missing.join(' ')}`)
}

function isInstalled(name: string): boolean {
  const { stdout } = Bun.spawnSync(['dpkg-query', '-W', '-f', '$' + '{Status}', name], { stderr: 'ignore' })
  return stdout.toString().endsWith(' installed')
}

/** Puts the binary in its place in one step, so that nobody ever starts half of it. */
async function install(from: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const staged = `${target}.${process.pid}`
  await copyFile(from, staged)
  await chmod(staged, 0o755)
  await rename(staged, target)
}

if (import.meta.main) {
  try {
    console.log(await getWorker((line) => console.error(`mediasoup-worker: ${line}`)))
  } catch (error) {
    if (!(error instanceof WorkerUnavailable)) throw error
    console.error(`mediasoup-worker: ${error.message}`)
    process.exit(1)
  }
}

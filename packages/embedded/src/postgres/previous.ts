import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedPostgresFailed, errorCode } from '../errors.ts'

/** What Postgres writes into `postmaster.pid`. */
export interface PostmasterFile {
  pid: number
  port: number
  ready: boolean
}

export function readPostmasterFile(directory: string): PostmasterFile | undefined {
  try {
    const lines = readFileSync(join(directory, 'postmaster.pid'), 'utf8').split('\n')
    return { pid: Number(lines[0]), port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Sees to it that no Postgres of a former life has the directory. One that outlived its ConnText (after kill -9, it is
 * shutting down) is told to stop and waited for. A stale file whose process id now belongs to some other program,
 * which is common in containers, would make Postgres refuse to start: it is removed.
 */
export async function clearPrevious(directory: string, patienceMs = 30_000): Promise<void> {
  const deadline = Date.now() + patienceMs
  for (let first = true; ; first = false) {
    const previous = readPostmasterFile(directory)
    if (!previous || !isAlive(previous.pid)) return
    if (!isPostgresOf(previous.pid, directory)) {
      rmSync(join(directory, 'postmaster.pid'), { force: true })
      return
    }
    if (first) process.kill(previous.pid, 'SIGINT')
    if (Date.now() > deadline) {
      throw new EmbeddedPostgresFailed(
        `Another Postgres (process ${previous.pid}) still uses ${directory}, and doesn't stop. End it, then start again.`,
      )
    }
    await Bun.sleep(20)
  }
}

/** The Postgres that another process has started on the directory, if it accepts connections. */
export function findRunning(directory: string): PostmasterFile | undefined {
  const file = readPostmasterFile(directory)
  return file?.ready && isAlive(file.pid) && isPostgresOf(file.pid, directory) ? file : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** Postgres's working directory is its data directory. */
function isPostgresOf(pid: number, directory: string): boolean {
  const real = realpathSync(directory)
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === real
    } catch {
      // Not ours to look at, so not ours at all; or it has just ended.
      return false
    }
  }
  return Bun.spawnSync(['ps', '-o', 'command=', '-p', String(pid)])
    .stdout.toString()
    .includes(real)
}

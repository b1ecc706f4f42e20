import { chmodSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** Nobody: an account that every system has. */
export const ordinaryUser = 65534
export const isRoot = process.getuid?.() === 0
export const asOrdinaryUser = isRoot
  ? ['setpriv', `--reuid=${ordinaryUser}`, `--regid=${ordinaryUser}`, '--clear-groups', '--']
  : []

/** Whether another account can get to this checkout at all: root's own home is closed to it. */
export const reachable =
  !isRoot || Bun.spawnSync([...asOrdinaryUser, 'test', '-r', fileURLToPath(import.meta.url)]).exitCode === 0
if (!reachable) console.warn('Skipped: what an ordinary user would do, as only root can enter this directory.')

export interface Script {
  readonly pid: number
  readonly exited: Promise<number>
  /** The next line of its output; throws when it ended instead. */
  line(): Promise<string>
  kill(signal: NodeJS.Signals): void
  errors(): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A copy of this Bun in a directory that the ordinary user can enter: what that user runs has to start Bun itself, and
 * root's own may lie where nobody else can go.
 */
export function bunWithin(directory: string): string {
  const copy = join(directory, 'bun')
  copyFileSync(process.execPath, copy)
  chmodSync(copy, 0o755)
  return copy
}

/** Runs `test/support/<name>` in a process of its own. */
export function runScript(
  name: string,
  args: readonly string[],
  { runAs = [] as readonly string[], bun = process.execPath } = {},
): Script {
  const path = fileURLToPath(new URL(name, import.meta.url))
  const child = Bun.spawn([...runAs, bun, '--no-install', path, ...args], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]()
  const errors = new Response(child.stderr).text()
  return {
    pid: child.pid,
    exited: child.exited,
    async line() {
      const { done, value } = await lines.next()
      if (done) throw new Error(`${name} ended: ${await errors}`)
      return value
    },
    kill: (signal) => child.kill(signal),
    errors: () => errors,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}

/** Polls until the condition holds; throws after `ms`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 25_000,
): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not in ${ms} ms: ${what}`)
    await Bun.sleep(10)
  }
}

/** Whether a process runs; one that has ended and only waits to be reaped doesn't. */
export function isRunning(pid: number): boolean {
  const state = Bun.spawnSync(['ps', '-o', 'stat=', '-p', String(pid)])
    .stdout.toString()
    .trim()
  return state !== '' && !state.startsWith('Z')
}

/** The account a process runs under, as the system sees it. */
export function userOf(pid: number): number {
  return Number(Bun.spawnSync(['ps', '-o', 'uid=', '-p', String(pid)]).stdout.toString())
}

/** Processes whose command line has this text. */
export function processesWith(text: string): string[] {
  const listing = Bun.spawnSync(['ps', '-eo', 'stat=,pid=,args=']).stdout.toString()
  return listing.split('\n').filter((line) => line.includes(text) && !line.trimStart().startsWith('Z'))
}

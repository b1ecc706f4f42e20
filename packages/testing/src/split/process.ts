import { fileURLToPath } from 'node:url'
import { type BoundProcess, spawnBound } from '@conntext/embedded/bound-process'
import { eventually } from '../poll.ts'

const START_MS = 90_000
// Longer than a process gives itself (25 s).
const STOP_MS = 30_000

const pathOf = (script: string) => fileURLToPath(new URL(`../../../../${script}`, import.meta.url))

export type SplitProcess = {
  name: string
  /** Where it listens. */
  url: string
  readonly pid: number
  /** What it has printed since it was started last. */
  output(): string
  /** Ends it as the signal does, and waits until it is gone. Answers its exit code; none where the signal killed it. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
  /** Starts it (again) where it was, and waits until it is ready; with settings put over those that it had. */
  start(env?: Record<string, string>): Promise<void>
  /** Starts it without waiting. */
  launch(env?: Record<string, string>): void
  /** Waits until it is ready. */
  ready(): Promise<void>
}

export type ProcessOptions = { name: string; script: string; url: string; env: Record<string, string> }

/** One process of the split deployment; it ends when this process does, kill -9 included. */
export function splitProcess({ name, script, url, env }: ProcessOptions): SplitProcess {
  let output = ''
  let settings = env
  let child: BoundProcess | undefined
  let ended: { code: number | null; signal: string | null } | undefined
  const collect = (line: string) => {
    output += `${line}\n`
  }
  return {
    name,
    url,
    get pid() {
      return child!.pid
    },
    output: () => output,
    async kill(signal) {
      child?.kill(signal)
      const exit = await child?.end([
        { signal, ms: STOP_MS },
        { signal: 'SIGKILL', ms: STOP_MS },
      ])
      return exit?.code ?? null
    },
    async start(changes) {
      this.launch(changes)
      await this.ready()
    },
    launch(changes = {}) {
      output = ''
      ended = undefined
      settings = { ...settings, ...changes }
      child = run(script, [], settings, collect)
      child.exited.then((exit) => {
        ended = exit
      })
    },
    async ready() {
      const isReady = async () => {
        if (ended) throw new Error(`${name} ended with ${ended.code ?? ended.signal}:\n${output}`)
        return (await fetch(`${url}/readyz`).catch(() => undefined))?.ok
      }
      await eventually(isReady, START_MS).catch((error: unknown) => {
        throw new Error(`${name} did not become ready: ${error}\n${output}`)
      })
    },
  }
}

/** Runs a command of ConnText's to its end. @throws with what it said where it fails */
export async function runToEnd(script: string, args: string[], env: Record<string, string>): Promise<string> {
  let output = ''
  const child = run(script, args, env, (line) => {
    output += `${line}\n`
  })
  const { code, signal } = await child.exited
  if (code !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${code ?? signal}:\n${output}`)
  return output
}

function run(script: string, args: string[], env: Record<string, string>, line: (text: string) => void): BoundProcess {
  const { CONNTEXT_TEST_RUN, HOME = '/', PATH = '', TMPDIR, MEDIASOUP_WORKER_BIN } = process.env
  const inherited = { HOME, PATH, TMPDIR, MEDIASOUP_WORKER_BIN, CONNTEXT_TEST_RUN }
  const given = Object.entries(inherited).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return spawnBound({
    command: [process.execPath, pathOf(script), ...args],
    env: { BUN_CONFIG_MAX_HTTP_REQUESTS: '16384', ...Object.fromEntries(given), ...env },
    deathSignal: 'SIGKILL',
    onErrorLine: line,
    onOutputLine: line,
  })
}

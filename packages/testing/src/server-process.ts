import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@conntext/embedded'
import { answerWithin } from '@conntext/kernel'
import { eventually } from './poll.ts'

const MAIN = fileURLToPath(new URL('../../../apps/server/src/main.ts', import.meta.url))
// Ends the server when this process is gone, however that comes.
const LIFELINE = fileURLToPath(new URL('../../../tools/lifeline.ts', import.meta.url))
const START_MS = 60_000
const STOP_MS = 30_000
const LAST_WORDS_MS = 1_000

export type ServerProcess = {
  url: string
  pid: number
  data: string
  /** What it has printed so far. */
  output(): string
  /** Ends it as the signal does, and waits until it is gone. Answers its exit code; none where the signal killed it. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
  /** Starts it again on the same data and the same port. */
  restart(): Promise<void>
  /** Stops it in order and removes its data. */
  [Symbol.asyncDispose](): Promise<void>
}

export const SETUP_CODE = 'setup-code-of-a-test'

/**
 * Starts the whole server as a process of its own, on a free port and new data, as `npm start` does. `within`: the
 * directory under which its data is.
 */
export async function startServerProcess(
  env: Record<string, string> = {},
  within: string = tmpdir(),
): Promise<ServerProcess> {
  const data = await mkdtemp(join(within, 'conntext-server-'))
  const settings: Record<string, string> = {
    // One that nobody's outgoing connection takes between an end and a restart.
    CONNTEXT_PORT: String(await freePort()),
    CONNTEXT_HOST: '127.0.0.1',
    CONNTEXT_SETUP_CODE: SETUP_CODE,
    // Any: the usual one is another server's.
    CONNTEXT_VOICE_PORT: '0',
    ...env,
  }
  let output = ''
  let child = launch(data, settings, (text) => {
    output += text
  })
  const url = await address(() => output, child)
  settings.CONNTEXT_PORT = new URL(url).port
  return {
    url,
    get pid() {
      return child.pid
    },
    data,
    output: () => output,
    async kill(signal) {
      child.kill(signal)
      await answerWithin(STOP_MS, () => child.ended)
      return child.code()
    },
    async restart() {
      output = ''
      child = launch(data, settings, (text) => {
        output += text
      })
      await address(() => output, child)
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await answerWithin(STOP_MS, () => child.ended)
      await rm(data, { recursive: true, force: true })
    },
  }
}

type Child = {
  pid: number
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
  /** Resolves when it is gone and all that it printed has been read. */
  ended: Promise<void>
  /** None where a signal killed it, or while it lives. */
  code(): number | null
}

function launch(data: string, settings: Record<string, string>, collect: (text: string) => void): Child {
  const { CONNTEXT_TEST_POSTGRES: _, ...inherited } = process.env
  const child = Bun.spawn([process.execPath, '--preload', LIFELINE, MAIN], {
    env: { ...inherited, ...settings, CONNTEXT_DATA: data, CONNTEXT_LIFELINE: 'stdin' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const drained = Promise.all([drain(child.stdout, collect), drain(child.stderr, collect)])
  return {
    pid: child.pid,
    kill: (signal) => child.kill(signal),
    // Its last lines say why it ended. What it started may hold the pipe open: that isn't waited for.
    ended: child.exited.then(async () => void (await Promise.race([drained, Bun.sleep(LAST_WORDS_MS)]))),
    code: () => (child.signalCode === null ? child.exitCode : null),
  }
}

async function drain(stream: ReadableStream<Uint8Array>, collect: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  for await (const chunk of stream) collect(decoder.decode(chunk, { stream: true }))
}

async function address(output: () => string, child: Child): Promise<string> {
  let ended = false
  void child.ended.then(() => {
    ended = true
  })
  const url = await eventually(() => {
    if (ended) throw new Error(`the server ended with ${child.code()}:\n${output()}`)
    return /^conntext: listening on (\S+)$/m.exec(output())?.[1]
  }, START_MS)
  await eventually(async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.ok, START_MS)
  return url
}

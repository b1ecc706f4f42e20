import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Logger, silentLogger } from '@conntext/kernel'

/** What the process that gets the worker says, a JSON object a line: how it fares, or why there will be none. */
export type WorkerReport = { words: string } | { reason: string; remedy: string }

export type GetterOptions = {
  /** The command that gets the worker; by default the repository's own, where the repository is. */
  command?: string[] | undefined
  logger?: Logger
  /** For how long a failure holds before it is tried again. */
  retryMs?: number
}

export type Failure = { reason: string; remedy: string }

/**
 * Gets the media worker in a process beside this one, which builds it for minutes if need be. It ends with this process,
 * however that ends.
 */
export interface WorkerGetter {
  /** How it fares; undefined while nothing is under way. */
  words(): string | undefined
  /** Resolves when it is done; with why, when there is no worker afterwards. Several wait for the same one. */
  get(): Promise<Failure | undefined>
  stop(): Promise<void>
}

const root = dirname(dirname(dirname(dirname(import.meta.dir))))
const RETRY_MS = 15 * 60_000
const UNTOLD = { reason: 'Getting mediasoup-worker failed', remedy: 'Run `npm run worker:build`: it says why.' }

/** In a container there is no repository: the image has the worker. */
export function repositoryCommand(): string[] | undefined {
  const [script, lifeline] = [join(root, 'tools/mediasoup-worker/get.ts'), join(root, 'tools/lifeline.ts')]
  return existsSync(script) && existsSync(lifeline)
    ? [process.execPath, '--preload', lifeline, script, '--report']
    : undefined
}

/** Undefined where there is no way to get it. */
export function createWorkerGetter(options: GetterOptions = {}): WorkerGetter | undefined {
  const { command = repositoryCommand(), logger = silentLogger, retryMs = RETRY_MS } = options
  if (!command) return undefined
  let child: ReturnType<typeof start> | undefined
  let under: Promise<Failure | undefined> | undefined
  let failed: { failure: Failure; at: number } | undefined
  let words: string | undefined

  async function run(argv: string[]): Promise<Failure | undefined> {
    let failure: Failure | undefined
    words = 'The media worker is being got'
    child = start(argv)
    for await (const line of linesOf(child.stdout)) {
      const told = read(line)
      if (!told) continue
      if ('reason' in told) failure = told
      else {
        words = `The media worker is not here yet, and voice follows: ${told.words}`
        logger.info({ progress: told.words }, 'the media worker is being got')
      }
    }
    if ((await child.exited) === 0) return undefined
    return failure ?? UNTOLD
  }

  return {
    words: () => words,
    get() {
      if (failed && Date.now() - failed.at < retryMs) return Promise.resolve(failed.failure)
      under ??= run(command)
        .catch((error: unknown) => ({ ...UNTOLD, reason: `${UNTOLD.reason}: ${String(error)}` }))
        .then((failure) => {
          failed = failure && { failure, at: Date.now() }
          return failure
        })
        .finally(() => {
          under = undefined
          child = undefined
          words = undefined
        })
      return under
    },
    async stop() {
      child?.kill('SIGTERM')
      await under
    },
  }
}

/** Its standard input is a pipe that closes with this process: see tools/lifeline.ts. */
const start = (command: string[]) =>
  Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, CONNTEXT_LIFELINE: 'stdin' },
    stdio: ['pipe', 'pipe', 'ignore'],
  })

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = ''
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    yield* lines
  }
}

function read(line: string): WorkerReport | undefined {
  try {
    const told = JSON.parse(line) as WorkerReport
    return 'words' in told || 'reason' in told ? told : undefined
  } catch {
    return undefined
  }
}

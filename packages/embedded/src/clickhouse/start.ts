import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { type BoundProcess, childEnvironment, type ProcessExit, spawnBound, withTimeout } from '../bound-process.ts'
import { EmbeddedClickHouseFailed, EmbeddedClickHouseUnavailable } from '../errors.ts'
import { type FromChild, parseMessage, type ToChild } from './messages.ts'

export interface ClickHouseOptions {
  /** Of ClickHouse alone, inside an open data directory. Made when missing. */
  directory: string
  user: string
  password: string
  /** Loopback port; default: one that the system chooses. */
  port?: number
  /** The engine's own limit; default: 1 GiB, or half of the machine's memory where that is less. */
  maxMemoryBytes?: number
  /** Queries that run at a time, each on a thread; others wait. Default 8. */
  concurrency?: number
  /** Bytes of one request, decompressed. Default 256 MiB. */
  maxBodyBytes?: number
  /** What the process says of errors, line by line. */
  log?: (line: string) => void
}

export interface RunningClickHouse {
  /** For `@clickhouse/client`, together with `user` and `password`. */
  readonly url: string
  readonly user: string
  readonly password: string
  readonly port: number
  readonly pid: number
  /** Lets running queries finish for up to 10 s, then cancels them. Repeatable. */
  stop(): Promise<void>
  /** Resolves when the process has ended, for whatever reason; never rejects. */
  readonly exited: Promise<ProcessExit>
}

const startTimeoutMs = 60_000
const stopPatienceMs = 10_000
/** A predecessor that was killed a moment ago may still hold the directory's lock. */
const lockPatienceMs = 10_000

/**
 * Starts ClickHouse's engine (chdb) in a process of its own, which serves ClickHouse's HTTP protocol on 127.0.0.1 and
 * ends when our process does. Throws `EmbeddedClickHouseUnavailable` where there is no chdb for the platform, and
 * `EmbeddedClickHouseFailed`.
 */
export async function startClickHouse(options: ClickHouseOptions): Promise<RunningClickHouse> {
  const deadline = Date.now() + lockPatienceMs
  for (;;) {
    const { child, answer } = await launch(options)
    if (answer.type === 'ready') return running(child, answer.port, options)
    await child.exited
    // The engine says what is wrong on standard error alone.
    const message = [answer.message, child.recentLines()].join('\n').trim()
    const locked = answer.reason === 'engine' && /Cannot lock file/.test(message)
    if (!locked || Date.now() > deadline) throw failure({ ...answer, message }, options)
    await Bun.sleep(100)
  }
}

async function launch(options: ClickHouseOptions): Promise<{ child: BoundProcess; answer: FromChild }> {
  const { promise, resolve } = Promise.withResolvers<FromChild>()
  const concurrency = options.concurrency ?? 8
  const child = spawnBound({
    // Without --no-install Bun would download what it doesn't find.
    command: [process.execPath, '--no-install', fileURLToPath(import.meta.resolve('./child.ts'))],
    // Each query blocks a thread; some are left for cancelling, classifying, compressing.
    env: childEnvironment({ UV_THREADPOOL_SIZE: String(concurrency + 8) }),
    deathSignal: 'SIGKILL',
    onErrorLine: (line) => options.log?.(line),
    onOutputLine: (line) => {
      const message = parseMessage<FromChild>(line)
      if (message) resolve(message)
      else options.log?.(line)
    },
  })
  send(child, {
    type: 'serve',
    options: {
      directory: options.directory,
      user: options.user,
      password: options.password,
      port: options.port ?? 0,
      maxMemoryBytes: options.maxMemoryBytes ?? Math.min(2 ** 30, Math.floor(totalmem() / 2)),
      concurrency,
      maxBodyBytes: options.maxBodyBytes ?? 256 * 2 ** 20,
    },
  })
  const ended = child.exited.then(
    ({ code, signal }): FromChild => ({
      type: 'failed',
      reason: 'engine',
      message: `the process ended with ${code ?? signal}`,
    }),
  )
  const answer = await withTimeout(Promise.race([promise, ended]), startTimeoutMs)
  if (answer) return { child, answer }
  await child.end(stopSteps)
  throw new EmbeddedClickHouseFailed(`The embedded ClickHouse wasn't ready in time: ${child.recentLines()}`)
}

function send(child: BoundProcess, message: ToChild): void {
  child.write(JSON.stringify(message))
}

function failure(answer: FromChild & { type: 'failed' }, { directory, port }: ClickHouseOptions): Error {
  const platform = `${process.platform}-${process.arch}`
  switch (answer.reason) {
    case 'missing':
      return new EmbeddedClickHouseUnavailable(
        `There is no embedded ClickHouse for ${platform} here: ${answer.message}. ` +
          'Install the package chdb, or configure the URL of a ClickHouse server.',
      )
    case 'port':
      return new EmbeddedClickHouseFailed(`ClickHouse can't use the port ${port} of 127.0.0.1: another program has it.`)
    case 'engine':
      return new EmbeddedClickHouseFailed(`ClickHouse can't open ${directory}: ${answer.message}`)
  }
}

const killStep = { signal: 'SIGKILL', ms: 5_000 } as const
const stopSteps = [{ signal: 'SIGTERM', ms: 5_000 }, killStep] as const

function running(child: BoundProcess, port: number, { user, password }: ClickHouseOptions): RunningClickHouse {
  let stopping: Promise<unknown> | undefined
  const stop = async () => {
    send(child, { type: 'stop', patienceMs: stopPatienceMs })
    if (!(await withTimeout(child.exited, stopPatienceMs + 5_000))) {
      // It hangs, so it wouldn't hear a gentler signal either; the time is the whole server's.
      await child.end([killStep])
    }
  }
  return {
    url: `http://127.0.0.1:${port}`,
    user,
    password,
    port,
    pid: child.pid,
    async stop() {
      stopping ??= stop()
      await stopping
    },
    exited: child.exited,
  }
}

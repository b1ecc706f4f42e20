import { dirname, join, resolve } from 'node:path'
import {
  type Binding,
  type BoundProcess,
  childEnvironment,
  type ProcessExit,
  spawnBound,
  withTimeout,
} from '../bound-process.ts'
import { EmbeddedPostgresFailed } from '../errors.ts'
import { freePort } from '../free-port.ts'
import { choosePostgresAccount, type PostgresAccount } from './account.ts'
import { findPostgres, type PostgresBinaries } from './binaries.ts'
import { prepareCluster } from './cluster.ts'
import { clearPrevious, findRunning, readPostmasterFile } from './previous.ts'
import { type PostgresSettings, settingsArguments } from './settings.ts'

export interface PostgresOptions {
  /** Of Postgres alone, inside an open data directory: its lock keeps two servers apart. Made when missing. */
  directory: string
  /** Password of the superuser `postgres`; takes effect when the data is first made. */
  superuserPassword: string
  /** Loopback port; default: a free one. */
  port?: number
  /** Each line that Postgres writes to its log. */
  log?: (line: string) => void
  /** Postgres's own settings, over ours. */
  settings?: PostgresSettings
  /** `none` loses data in a power cut, and is for data that is thrown away anyway. Default `full`. */
  durability?: 'full' | 'none'
  /** How long to wait until it accepts connections; long, since it may have to recover after a crash. Default 120 s. */
  startTimeoutMs?: number
}

export interface RunningPostgres {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly pid: number
  /** A connection URL. The user defaults to the superuser, whose password is filled in; others need theirs. */
  url(database: string, user?: string, password?: string): string
  /** Ends open transactions, writes all to disk, stops; by force when that takes over 20 s. Repeatable. */
  stop(): Promise<void>
  /** Resolves when the process has ended, for whatever reason; never rejects. */
  readonly exited: Promise<ProcessExit>
}

/**
 * Starts the embedded Postgres, making its data first when there is none, and resolves once it accepts connections (on
 * 127.0.0.1 only, with scram passwords). It ends when our process does, kill -9 included. Throws
 * `EmbeddedPostgresUnavailable` (no binaries for this platform) or `EmbeddedPostgresFailed`.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  return startPostgresBoundBy(undefined, options)
}

/** `startPostgres` with a chosen way to end it with us. Only for tests. */
export async function startPostgresBoundBy(
  binding: Binding | undefined,
  options: PostgresOptions,
): Promise<RunningPostgres> {
  const directory = resolve(options.directory)
  const { durability = 'full', superuserPassword } = options
  const binaries = findPostgres(join(dirname(directory), 'postgres-libraries'))
  const account = await choosePostgresAccount(directory, binaries)
  await clearPrevious(directory)
  await prepareCluster({ directory, superuserPassword, durability }, binaries, account)
  const launch = (port: number) =>
    launchPostgres({ ...options, directory, durability, port }, binaries, account, binding)
  const { child, port } = await withPort(options.port, launch)
  return running(child, port, superuserPassword)
}

interface Launch {
  child: BoundProcess
  port: number
}

class PortTaken extends EmbeddedPostgresFailed {}

/** A free port may be taken before Postgres gets to it: then with another one. */
async function withPort(fixed: number | undefined, launch: (port: number) => Promise<BoundProcess>): Promise<Launch> {
  for (let attempt = 1; ; attempt++) {
    const port = fixed ?? (await freePort())
    try {
      return { child: await launch(port), port }
    } catch (error) {
      if (!(error instanceof PortTaken) || fixed !== undefined || attempt === 10) throw error
    }
  }
}

async function launchPostgres(
  options: PostgresOptions & { port: number; durability: 'full' | 'none' },
  binaries: PostgresBinaries,
  account: PostgresAccount,
  binding: Binding | undefined,
): Promise<BoundProcess> {
  const { directory, port, durability, settings, log, startTimeoutMs = 120_000 } = options
  const deadline = Date.now() + startTimeoutMs
  for (;;) {
    const child = spawnBound({
      command: [binaries.postgres, '-D', directory, '-p', String(port), ...settingsArguments(durability, settings)],
      runAs: account.runAs,
      env: childEnvironment(binaries.env),
      // Fast shutdown.
      deathSignal: 'SIGINT',
      ...(log && { onErrorLine: log }),
      ...(binding && { binding }),
    })
    const exit = await ready(child, directory, deadline)
    if (!exit) return child
    const lines = child.recentLines()
    if (/could not bind .*: Address already in use/.test(lines)) {
      throw new PortTaken(`Postgres can't use the port ${port} of 127.0.0.1: another program has it.`)
    }
    // Former backends take a moment to notice that their postmaster was killed.
    const retry = /pre-existing shared memory block/.test(lines)
    if (!retry || Date.now() > deadline) {
      throw new EmbeddedPostgresFailed(`Postgres didn't start (it ended with ${exit.code ?? exit.signal}): ${lines}`)
    }
    await Bun.sleep(200)
  }
}

/** Resolves with nothing once it accepts connections, or with how it ended. Stops it and throws after the deadline. */
async function ready(child: BoundProcess, directory: string, deadline: number): Promise<ProcessExit | undefined> {
  for (;;) {
    const exit = await withTimeout(child.exited, 5)
    if (exit) return exit
    const file = readPostmasterFile(directory)
    if (file?.pid === child.pid && file.ready) return undefined
    if (Date.now() > deadline) {
      await child.end(stopSteps)
      throw new EmbeddedPostgresFailed(`Postgres wasn't ready in time: ${child.recentLines()}`)
    }
  }
}

/** Fast shutdown; immediate shutdown, which the next start recovers from; the end. */
const stopSteps = [
  { signal: 'SIGINT', ms: 20_000 },
  { signal: 'SIGQUIT', ms: 5_000 },
  { signal: 'SIGKILL', ms: 5_000 },
] as const

/**
 * The Postgres that a running ConnText has started on `directory`: how to reach it, and nothing that would stop it.
 * Undefined where none accepts connections.
 */
export function findPostgresOf(directory: string, superuserPassword: string): Pick<RunningPostgres, 'url'> | undefined {
  const found = findRunning(directory)
  return found && { url: urlsOf(found.port, superuserPassword) }
}

const urlsOf =
  (port: number, superuserPassword: string): RunningPostgres['url'] =>
  (database, user = 'postgres', password = user === 'postgres' ? superuserPassword : '') => {
    const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
    return `postgres://${credentials}@127.0.0.1:${port}/${encodeURIComponent(database)}`
  }

function running(child: BoundProcess, port: number, superuserPassword: string): RunningPostgres {
  let stopping: Promise<unknown> | undefined
  return {
    host: '127.0.0.1',
    port,
    pid: child.pid,
    url: urlsOf(port, superuserPassword),
    async stop() {
      stopping ??= child.end(stopSteps)
      await stopping
    },
    exited: child.exited,
  }
}

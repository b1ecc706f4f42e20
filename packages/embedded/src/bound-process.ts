import { EmbeddedError } from './errors.ts'

export interface ProcessExit {
  code: number | null
  signal: string | null
}

export interface BoundProcess {
  readonly pid: number
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ProcessExit>
  /** The last lines it wrote to standard error, for error messages. */
  recentLines(): string
  write(line: string): void
  kill(signal: NodeJS.Signals): void
  /** Sends the signals in turn, each when the process survived the one before for `ms`. Resolves once it has ended. */
  end(steps: readonly { signal: NodeJS.Signals; ms: number }[]): Promise<ProcessExit>
}

export interface BoundProcessOptions {
  command: readonly string[]
  /** A command that changes the account and then runs what follows it. */
  runAs?: readonly string[]
  env: Record<string, string>
  /** Sent to the process when ours dies, kill -9 included. */
  deathSignal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'
  /** Each line of standard error. */
  onErrorLine?: (line: string) => void
  /** Each line of standard output; without it the output is dropped. */
  onOutputLine?: (line: string) => void
  /** Default: by the kernel where it can, else by a watching shell. */
  binding?: Binding
}

export type Binding = 'kernel' | 'watchdog'

class CannotStart extends EmbeddedError {
  readonly code = 'cannot_start_process'
}

const keptLines = 40

/**
 * Starts a process that ends when ours does. It gets a session of its own, so that Ctrl-C in a terminal reaches only
 * us, and we stop it in order. Its environment is `env`, and what a shell adds (PWD).
 */
export function spawnBound(options: BoundProcessOptions): BoundProcess {
  const { command, runAs = [], env, deathSignal, binding = kernelBinding() ? 'kernel' : 'watchdog' } = options
  const recent: string[] = []
  // In this order: the kernel forgets the death signal when a process changes its account.
  const bind = binding === 'kernel' ? kernelPrefix(deathSignal) : []
  const child = Bun.spawn([...runAs, ...bind, ...command], {
    env,
    stdin: 'pipe',
    stdout: options.onOutputLine ? 'pipe' : 'ignore',
    stderr: 'pipe',
    detached: true,
  })
  const release = binding === 'watchdog' ? watch(child.pid, deathSignal) : () => {}
  const drained = Promise.all([
    readLines(child.stderr, (line) => {
      if (recent.push(line) > keptLines) recent.shift()
      options.onErrorLine?.(line)
    }),
    options.onOutputLine && child.stdout ? readLines(child.stdout, options.onOutputLine) : undefined,
  ])
  const exited = child.exited.then(async () => {
    release()
    // Its last lines say why it ended. A grandchild may hold the pipe open: don't wait for long.
    await Promise.race([drained, Bun.sleep(200)])
    return { code: child.exitCode, signal: child.signalCode === null ? null : String(child.signalCode) }
  })
  return {
    pid: child.pid,
    exited,
    recentLines: () => recent.join('\n'),
    write(line) {
      try {
        child.stdin.write(`${line}\n`)
        Promise.resolve(child.stdin.flush()).catch(() => {})
      } catch {
        // It has ended; `exited` says so.
      }
    },
    kill: (signal) => child.kill(signal),
    async end(steps) {
      for (const { signal, ms } of steps) {
        child.kill(signal)
        const ended = await withTimeout(exited, ms)
        if (ended) return ended
      }
      return exited
    },
  }
}

/** The value, or `undefined` after `ms`. Leaves no timer behind. */
export async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: Timer | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}

let kernelCanBind: boolean | undefined

/** Whether util-linux's setpriv is here: it has the kernel signal a process when its parent dies. */
function kernelBinding(): boolean {
  kernelCanBind ??=
    process.platform === 'linux' &&
    Bun.which('setpriv') !== null &&
    Bun.spawnSync([...kernelPrefix('SIGKILL'), 'true']).exitCode === 0
  return kernelCanBind
}

/** The kernel tells of no death that came before it was asked to: who has another parent by then is alone, and doesn't begin. */
function kernelPrefix(signal: NodeJS.Signals): string[] {
  const unlessAlone = ['/bin/sh', '-c', 'test "$PPID" = "$0" && exec "$@"', String(process.pid)]
  return ['setpriv', '--pdeathsig', signal.slice('SIG'.length), '--', ...unlessAlone]
}

/**
 * Where the kernel can't: a shell that waits on a pipe from us. A line means that the process has ended; the pipe's end
 * without one means that we have.
 */
function watch(pid: number, signal: NodeJS.Signals): () => void {
  const script = 'read -r line || kill -"$1" "$2" 2>/dev/null'
  const watchdog = Bun.spawn(['/bin/sh', '-c', script, 'sh', signal.slice('SIG'.length), String(pid)], {
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    detached: true,
  })
  watchdog.unref()
  return () => {
    watchdog.stdin.write('ended\n')
    watchdog.stdin.end()
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    lines.forEach(onLine)
  }
  if (rest) onLine(rest)
}

/** Runs a short command to its end; it dies with us. Throws when it can't be started. */
export async function runBound(
  options: Pick<BoundProcessOptions, 'command' | 'runAs' | 'env'>,
): Promise<ProcessExit & { output: string }> {
  const output: string[] = []
  let child: BoundProcess
  try {
    child = spawnBound({ ...options, deathSignal: 'SIGKILL', onOutputLine: (line) => output.push(line) })
  } catch (error) {
    throw new CannotStart(`${options.command[0]} can't be started`, { cause: error })
  }
  const exit = await child.exited
  return { ...exit, output: [...output, child.recentLines()].join('\n').trim() }
}

/** What children need of our environment; nothing that configures ConnText, which may be secret. */
export function childEnvironment(extra: Record<string, string> = {}): Record<string, string> {
  const env: Record<string, string> = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC' }
  for (const name of ['HOME', 'TMPDIR', 'LD_LIBRARY_PATH']) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return { ...env, ...extra }
}

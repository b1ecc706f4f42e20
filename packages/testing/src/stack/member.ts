import { appendFileSync } from 'node:fs'
import { type BoundProcess, type ProcessExit, spawnBound } from '@conntext/embedded/bound-process'

/** What a stack is made of: a process, or an engine that comes in one. */
export interface Member {
  readonly name: string
  /** Where it is reached from this machine. */
  readonly url: string | undefined
  readonly pid: number | undefined
  /** The file with what it has said. */
  readonly log: string
  /** Ends it in order, and waits. Repeatable. */
  stop(): Promise<void>
  /** Ends it as `kill -9` does, and waits. */
  kill(): Promise<void>
  /** Starts it again, on the port and the data that it had, and waits until it is ready. */
  start(): Promise<void>
}

/** What failed to start, with the last of what it said. */
export class MemberFailed extends Error {}

export interface ProcessOptions {
  name: string
  url?: string | undefined
  log: string
  command: string[]
  env: Record<string, string>
  /** How long it may take to stop in order. */
  stopMs: number
  /** Whether it takes work now. Asked until it does; absent for a process that is to end by itself. */
  ready?: () => Promise<boolean>
  /** How long it may take until it is. */
  readyMs: number
}

/** A process as a member; it ends when ours does, kill -9 included. */
export class ProcessMember implements Member {
  readonly name: string
  readonly url: string | undefined
  readonly log: string
  #process: BoundProcess | undefined

  constructor(private readonly options: ProcessOptions) {
    this.name = options.name
    this.url = options.url
    this.log = options.log
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** How it ended; never, while nobody has started it. */
  get exited(): Promise<ProcessExit> {
    return this.#process?.exited ?? new Promise(() => {})
  }

  async start(): Promise<void> {
    const { command, env, log, ready } = this.options
    const write = (line: string) => appendFileSync(log, `${line}\n`)
    const started = spawnBound({ command, env, deathSignal: 'SIGTERM', onOutputLine: write, onErrorLine: write })
    this.#process = started
    if (ready) await this.#untilReady(started, ready)
    else await this.#untilDone(started)
  }

  async #untilReady(started: BoundProcess, ready: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + this.options.readyMs
    let exit: ProcessExit | undefined
    void started.exited.then((how) => {
      exit = how
    })
    while (!(await ready().catch(() => false))) {
      if (exit) throw await this.#failure(`ended with ${exit.code ?? exit.signal}`)
      if (performance.now() > deadline) throw await this.#failure('was not ready in time')
      await Bun.sleep(50)
    }
  }

  async #untilDone(started: BoundProcess): Promise<void> {
    const { code, signal } = await started.exited
    if (code !== 0) throw await this.#failure(`ended with ${code ?? signal}`)
  }

  async #failure(what: string): Promise<MemberFailed> {
    const text = await Bun.file(this.log)
      .text()
      .catch(() => '')
    return new MemberFailed(`${this.name} ${what}\n${text.split('\n').slice(-20).join('\n').trim()}`)
  }

  async stop(): Promise<void> {
    await this.#process?.end([
      { signal: 'SIGTERM', ms: this.options.stopMs },
      { signal: 'SIGKILL', ms: 5_000 },
    ])
  }

  async kill(): Promise<void> {
    await this.#process?.end([{ signal: 'SIGKILL', ms: 5_000 }])
  }
}

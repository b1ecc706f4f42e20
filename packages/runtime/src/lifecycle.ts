import type { Logger } from '@conntext/kernel'

/** How long an orderly end may take, before the process is ended as it is. */
const STOP_WITHIN_MS = 25_000

/** What a process has started, to be ended in the reverse order. */
export class Lifecycle {
  readonly #started: { name: string; stop: () => Promise<void> }[] = []
  readonly #stopping = new AbortController()

  constructor(
    private readonly log: Logger,
    private readonly say: (line: string) => void,
  ) {}

  /** Aborted as soon as the process is to end. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  /** Where the process is ending already, at once. */
  async closing(name: string, stop: () => Promise<void>): Promise<void> {
    this.#started.push({ name, stop })
    if (this.signal.aborted) await this.close()
  }

  /** In the reverse order, each whatever became of the others. */
  async close(): Promise<void> {
    for (let last = this.#started.pop(); last; last = this.#started.pop()) {
      const { name, stop } = last
      await stop().catch((error: unknown) => this.log.error({ err: error, name }, 'could not be stopped in order'))
    }
  }

  /** Ends the process in order at the first signal: with 0, or with 1 when it takes too long. */
  endOnSignals(): void {
    const end = (signal: string) => {
      if (this.signal.aborted) return
      this.#stopping.abort()
      this.say(`stopping (${signal})`)
      setTimeout(() => {
        this.say('could not stop in time')
        process.exit(1)
      }, STOP_WITHIN_MS).unref()
      void this.close().then(() => process.exit(0))
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(signal))
  }
}

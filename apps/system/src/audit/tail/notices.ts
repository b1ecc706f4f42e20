import type { Bus, Unsubscribe } from '@conntext/bus'
import { subjects } from '@conntext/contracts'

// The bus may lose a word.
const POLL_MS = 5_000

/** Wakes whoever waits for new events, in every process, once they are stored. */
export class Notices {
  readonly #waiting = new Set<() => void>()
  #unsubscribe: Unsubscribe | undefined

  constructor(private readonly bus: Bus) {}

  async start(): Promise<void> {
    this.#unsubscribe = await this.bus.subscribe(subjects.auditStored, () => this.#wake())
  }

  async stop(): Promise<void> {
    await this.#unsubscribe?.()
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** What resolves with the next word, and in any case after a while. Taken before looking, nothing is overlooked. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, POLL_MS)
      this.#waiting.add(wake)
    })
  }
}

import { passwordErrors } from './errors.ts'

export type SlotLimits = {
  /** How many run at once. */
  concurrency: number
  /** How many may wait for their turn. */
  queue: number
}

// About what a full default queue takes to clear.
const RETRY_AFTER_S = 5

/** Bounds work that costs a core and megabytes each: so many at once, so many waiting, and no more. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(private readonly limits: SlotLimits) {}

  /** Runs the work when it is its turn. @throws password.busy (503) when too many are waiting already */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.limits.concurrency) {
      if (this.#waiting.length >= this.limits.queue) throw passwordErrors.busy({ retryAfter: RETRY_AFTER_S })
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else {
      this.#running += 1
    }
    try {
      return await work()
    } finally {
      // Whoever waits takes the place over; it is never free in between.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running -= 1
    }
  }
}

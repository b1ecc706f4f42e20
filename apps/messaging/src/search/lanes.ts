import { searchErrors } from './errors.ts'

/** Bounds how many searches run at once: each holds a connection, and sending must not wait for one. */
export class Lanes {
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(private readonly limits: { running: number; waiting: number }) {}

  /** @throws search.overloaded (503) */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.limits.running) this.#running += 1
    else await this.#turn()
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // Whoever waited runs in this one's place.
      if (next) next()
      else this.#running -= 1
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.limits.waiting) throw searchErrors.overloaded({ retryAfter: 1 })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

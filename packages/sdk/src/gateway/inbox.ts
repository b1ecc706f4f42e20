import { type Deferred, deferred } from './deferred.ts'

/**
 * What has come and is handed over one at a time, in order: the next when `hand` is done with the one before. Bounded,
 * so that who is slower than what comes does not eat up the memory.
 */
export class Inbox<T> {
  #queue: T[] = []
  /** Up to here it has been handed over. */
  #next = 0
  #busy = false
  #idle: Deferred<void> | undefined

  /** `hand` answers a promise where it takes its time. */
  constructor(
    private readonly hand: (item: T) => Promise<unknown> | undefined,
    private readonly limit: number,
  ) {}

  /** False when it is full: then the item was not taken. */
  push(item: T): boolean {
    if (this.#queue.length - this.#next >= this.limit) return false
    // Not at each step: moving all the others takes its time.
    if (this.#next > this.limit) {
      this.#queue = this.#queue.slice(this.#next)
      this.#next = 0
    }
    this.#queue.push(item)
    if (!this.#busy) this.#run()
    return true
  }

  /** Forgets what waits; what is being handed over goes on. */
  clear(): void {
    this.#queue = []
    this.#next = 0
  }

  /** Resolves when all has been handed over. */
  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve()
    this.#idle ??= deferred()
    return this.#idle.promise
  }

  #run(): void {
    this.#busy = true
    while (this.#next < this.#queue.length) {
      const busy = this.hand(this.#queue[this.#next++]!)
      if (!busy) continue
      void busy.finally(() => this.#run())
      return
    }
    this.clear()
    this.#busy = false
    this.#idle?.resolve()
    this.#idle = undefined
  }
}

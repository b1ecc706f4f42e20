import { captureContext } from '@conntext/kernel'

/** What became of one member of a batch. */
export type Outcome<O> = { value: O } | { error: unknown }

export type BatcherOptions<I, O> = {
  /** Does the work of a batch; answers in the members' order. A failure of the whole becomes each member's. */
  run(items: I[]): Promise<Outcome<O>[]>
  /** What is done one after the other: two batches with the same key are never under way at once. */
  keyOf(item: I): string
  maxBatch: number
  maxInFlight: number
  maxQueued: number
  /** Makes the error for what doesn't fit into the queue. */
  full(): Error
}

// A batch is worked on as a part of the request of its first member.
type Entry<I, O> = { item: I; key: string; done: PromiseWithResolvers<O>; within: ReturnType<typeof captureContext> }

// What whoever has just been answered says next is read in the second, and handed on to here in the third.
const TURNS_AFTER_BATCH = 3

/**
 * Groups concurrent work. There is no timer: the first item goes at once, and what arrives for a key while a batch with
 * it is under way, or while `maxInFlight` are, forms the next one, which those who have just been answered may join. So
 * an idle server answers without delay, a busy one in large batches, and items of one key are worked on in their order.
 */
export class Batcher<I, O> {
  #queue: Entry<I, O>[] = []
  #inFlight = 0
  readonly #busy = new Set<string>()
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(private readonly options: BatcherOptions<I, O>) {}

  add(item: I): Promise<O> {
    if (this.#queue.length >= this.options.maxQueued) return Promise.reject(this.options.full())
    const done = Promise.withResolvers<O>()
    this.#queue.push({ item, key: this.options.keyOf(item), done, within: captureContext() })
    this.#schedule()
    return done.promise
  }

  /** Resolves when nothing is queued or under way. */
  async drain(): Promise<void> {
    if (this.#inFlight === 0 && this.#queue.length === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  // Once per turn of the event loop: requests that arrived together are one batch, not a batch of one and a rest.
  #schedule(turns = 1): void {
    if (this.#scheduled || this.#inFlight >= this.options.maxInFlight) return
    this.#scheduled = true
    afterTurns(turns, () => {
      this.#scheduled = false
      this.#launch()
    })
  }

  #launch(): void {
    while (this.#inFlight < this.options.maxInFlight) {
      const entries = this.#takeNext()
      if (entries.length === 0) return
      void entries[0]!.within(() => this.#process(entries))
    }
  }

  /** The oldest whose key nobody works on; what has to wait keeps its place. */
  #takeNext(): Entry<I, O>[] {
    const taken: Entry<I, O>[] = []
    const waiting: Entry<I, O>[] = []
    for (const entry of this.#queue) {
      const isFree = taken.length < this.options.maxBatch && !this.#busy.has(entry.key)
      ;(isFree ? taken : waiting).push(entry)
    }
    if (taken.length > 0) this.#queue = waiting
    return taken
  }

  async #process(entries: Entry<I, O>[]): Promise<void> {
    const keys = new Set(entries.map((entry) => entry.key))
    this.#inFlight += 1
    for (const key of keys) this.#busy.add(key)
    try {
      const outcomes = await this.options.run(entries.map((entry) => entry.item))
      entries.forEach(({ done }, index) => {
        const outcome = outcomes[index]!
        if ('error' in outcome) done.reject(outcome.error)
        else done.resolve(outcome.value)
      })
    } catch (error) {
      for (const { done } of entries) done.reject(error)
    }
    this.#inFlight -= 1
    for (const key of keys) this.#busy.delete(key)
    // Went it at once, those who wait and those who are answered would take turns for ever, in batches of one half.
    if (this.#queue.length > 0) this.#schedule(TURNS_AFTER_BATCH)
    else if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }
}

const afterTurns = (turns: number, then: () => void): void =>
  void setImmediate(() => (turns > 1 ? afterTurns(turns - 1, then) : then()))

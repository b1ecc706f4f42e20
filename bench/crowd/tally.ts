import { now } from './stamp.ts'

const KEPT = 20_000

export type Outcome = {
  received: number
  /** When the last one came. */
  endedAt: number
  /** Milliseconds from the sender's hand to a receiver's: of all, or of so many as tell enough. */
  latencies: number[]
  /** The same of each message's last receiver, in the messages' order; empty where they have none in common. */
  lasts: number[]
  /** Of the last one, in bytes. */
  frameBytes: number
}

/** Counts what arrives until all of it is there. */
export class Tally {
  #received = 0
  readonly #latencies: number[] = []
  readonly #lasts: number[] = []
  readonly #every: number
  readonly #done = Promise.withResolvers<Outcome>()

  constructor(
    private readonly total: number,
    private readonly inOrder: boolean,
  ) {
    this.#every = Math.max(1, Math.floor(total / KEPT))
  }

  get done(): Promise<Outcome> {
    return this.#done.promise
  }

  /** `index`: which of its receiver's it was; `frameBytes`: its length. */
  add(stamp: number, index: number, frameBytes: number): void {
    const at = now()
    const latency = at - stamp
    this.#received += 1
    if (this.#received % this.#every === 0) this.#latencies.push(latency)
    if (this.inOrder && !(this.#lasts[index]! > latency)) this.#lasts[index] = latency
    if (this.#received < this.total) return
    this.#done.resolve({
      received: this.#received,
      endedAt: at,
      latencies: this.#latencies,
      lasts: this.#lasts,
      frameBytes,
    })
  }
}

import { withContext, withoutContext } from './context.ts'
import { answerWithin } from './timeout.ts'

export type ShipperOptions<T> = {
  /** Takes a batch, all or nothing; a failure means to try again later. `lost`: so many were dropped before these. */
  ship(batch: T[], lost: number): Promise<void>
  /** Of what it makes no sense to send again. */
  isRefusal?(error: unknown): boolean
  /** How much one takes, in bytes. */
  sizeOf(item: T): number
  /** Bytes that wait at most; what comes then is dropped, and counted. */
  maxBytes?: number
  batchItems?: number
  batchBytes?: number
  /** How long the first of a batch waits for others, in ms. */
  everyMs?: number
  /** Told when shipping begins to fail (with why) and when it goes again. */
  changed?(error: unknown | undefined): void
}

const RETRY_MS = { first: 500, longest: 15_000 }
const SHIP_WITHIN_MS = 10_000

/**
 * Ships what may be lost: in batches, in order, beside everything else. Whoever adds never waits and never fails; what
 * waits is bounded, and what doesn't fit is counted. Nothing that is logged or traced while it ships is shipped itself.
 */
export class Shipper<T> {
  readonly #options: Required<Omit<ShipperOptions<T>, 'isRefusal' | 'changed'>> &
    Pick<ShipperOptions<T>, 'isRefusal' | 'changed'>
  #waiting: T[] = []
  #bytes = 0
  #lost = 0
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #failures = 0
  /** What was sent and may have arrived is sent again as it was, so that the receiver knows it. */
  #unanswered = 0
  #stopped = false
  readonly counts = { shipped: 0, dropped: 0 }

  constructor(options: ShipperOptions<T>) {
    this.#options = { maxBytes: 4_194_304, batchItems: 500, batchBytes: 524_288, everyMs: 250, ...options }
  }

  get waitingBytes(): number {
    return this.#bytes
  }

  add(item: T): void {
    const size = this.#options.sizeOf(item)
    if (this.#stopped || this.#bytes + size > this.#options.maxBytes) {
      this.#drop(1)
      return
    }
    this.#waiting.push(item)
    this.#bytes += size
    this.#schedule(this.#options.everyMs)
  }

  /** Ships what waits, once more, in bounded time; afterwards it takes nothing. */
  async stop(withinMs = 3_000): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await answerWithin(withinMs, async () => {
      await this.#running
      while (this.#waiting.length > 0 && (await this.#shipBatch()));
    }).catch(() => {})
  }

  #drop(count: number): void {
    this.#lost += count
    this.counts.dropped += count
  }

  #schedule(ms: number): void {
    if (this.#stopped || this.#timer !== undefined || this.#running) return
    // Not on behalf of whoever happened to add the first.
    this.#timer = withoutContext(() => setTimeout(() => this.#turn(), ms))
  }

  #turn(): void {
    this.#timer = undefined
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#waiting.length === 0) return
      const pause = Math.min(RETRY_MS.longest, RETRY_MS.first * 2 ** (this.#failures - 1))
      this.#schedule(this.#failures > 0 ? pause * (0.5 + Math.random() / 2) : this.#options.everyMs)
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && (await this.#shipBatch()));
  }

  /** Answers whether it went. */
  async #shipBatch(): Promise<boolean> {
    const { ship, isRefusal, changed } = this.#options
    const batch = this.#nextBatch()
    const lost = this.#lost
    try {
      await answerWithin(SHIP_WITHIN_MS, () => withContext({ quiet: true }, () => ship(batch, lost)))
      this.#lost -= lost
      this.counts.shipped += batch.length
      if (this.#failures > 0) changed?.(undefined)
      this.#failures = 0
    } catch (error) {
      if (this.#failures === 0) withContext({ quiet: true }, () => changed?.(error))
      this.#failures += 1
      this.#unanswered = batch.length
      if (!isRefusal?.(error)) return false
      this.#drop(batch.length)
    }
    this.#unanswered = 0
    this.#waiting = this.#waiting.slice(batch.length)
    for (const item of batch) this.#bytes -= this.#options.sizeOf(item)
    return true
  }

  #nextBatch(): T[] {
    const { batchItems, batchBytes, sizeOf } = this.#options
    if (this.#unanswered > 0) return this.#waiting.slice(0, this.#unanswered)
    let bytes = 0
    const batch: T[] = []
    for (const item of this.#waiting) {
      bytes += sizeOf(item)
      if (batch.length > 0 && (batch.length >= batchItems || bytes > batchBytes)) break
      batch.push(item)
    }
    return batch
  }
}

import type { Logger } from '@conntext/kernel'
import type { Redis } from 'ioredis'
import type { Address } from './address.ts'
import { Connection } from './connection.ts'
import { slotOf } from './slot.ts'

// How many channels one command names.
const BATCH = 1_000
// Whoever waits to be heard is told after so many ticks that it isn't so yet.
const PATIENCE_TICKS = 4

/** A channel that is to be heard. `deaf`: who wanted it has been told so, and is owed a gap once it is heard. */
type Wish = { state: 'waiting' | 'deaf' | 'heard'; resolve(): void; waited: number }

export type SubscriberOptions = {
  address: Address
  log: Logger
  /** Whether these are the sharded channels of a cluster. */
  sharded: boolean
  message(channel: string, payload: string): void
  /** All that is wanted is heard again, after it was not for a while. */
  gap(): void
  /** This node may not be the one any more that serves what is wanted of it. */
  astray?(): void
}

/** The channels that are heard over one connection, which comes and goes. */
export class Subscriber {
  readonly #connection: Connection
  readonly #astray: () => void
  readonly #wishes = new Map<string, Wish>()
  /** What Redis has been asked for on the present connection, with its confirmation. */
  readonly #asked = new Map<string, Promise<unknown>>()
  readonly #dirty = new Set<string>()
  #redis: Redis | undefined
  #hasRefused = false

  constructor(private readonly options: SubscriberOptions) {
    const { address, log, message, astray } = options
    this.#connection = new Connection(address, log, {
      up: (redis) => this.#begin(redis),
      down: () => this.#down(),
      message,
      moved: () => this.#again(),
      tick: () => this.#tick(),
    })
    this.#astray = astray ?? (() => {})
  }

  get away(): boolean {
    return this.#connection.away
  }

  get channels(): string[] {
    return [...this.#wishes.keys()]
  }

  /** Resolves when it is heard, or can't be for now; then there is a gap once it is. `late`: it should be already. */
  want(channel: string, late = false): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const isDeaf = late || this.#connection.away
    this.#wishes.set(channel, { state: isDeaf ? 'deaf' : 'waiting', resolve, waited: 0 })
    if (isDeaf) resolve()
    this.#touch(channel)
    return promise
  }

  forget(channel: string): void {
    this.#wishes.get(channel)?.resolve()
    if (this.#wishes.delete(channel)) this.#touch(channel)
  }

  async close(): Promise<void> {
    for (const { resolve } of this.#wishes.values()) resolve()
    this.#wishes.clear()
    await this.#connection.close()
  }

  /** All that comes to be wanted, or not any more, within one turn goes to Redis together. */
  #touch(channel: string): void {
    if (!this.#redis) return
    if (this.#dirty.size === 0) queueMicrotask(() => this.#flush())
    this.#dirty.add(channel)
  }

  #flush(): void {
    const changed = [...this.#dirty]
    this.#dirty.clear()
    if (!this.#redis) return
    const ended = changed.filter((channel) => this.#asked.has(channel) && !this.#wishes.has(channel))
    for (const batch of this.#batches(ended)) this.#unsubscribe(this.#redis, batch)
    void this.#subscribe(
      this.#redis,
      changed.filter((channel) => this.#wishes.has(channel)),
    )
  }

  /** A new connection knows nothing: all is asked for again. */
  #begin(redis: Redis): void {
    this.#redis = redis
    void this.#subscribe(redis, this.channels)
  }

  async #subscribe(redis: Redis, channels: string[]): Promise<void> {
    const unasked = channels.filter((channel) => !this.#asked.has(channel))
    for (const batch of this.#batches(unasked)) {
      const confirmed = this.options.sharded ? redis.ssubscribe(...batch) : redis.subscribe(...batch)
      for (const channel of batch) this.#asked.set(channel, confirmed)
    }
    // By confirmations: what has been asked for already may come with one from before.
    const groups = Map.groupBy(channels, (channel) => this.#asked.get(channel)!)
    const found = await Promise.all([...groups].map(([confirmed, some]) => this.#confirm(redis, confirmed, some)))
    if (found.includes(true)) this.options.gap()
  }

  /** Answers whether somebody has been told that they would be deaf. */
  async #confirm(redis: Redis, confirmed: Promise<unknown>, channels: string[]): Promise<boolean> {
    const wishes = channels.map((channel) => this.#wishes.get(channel)!)
    try {
      await confirmed
    } catch (error) {
      if (this.#redis === redis) this.#refused(error as Error, confirmed, channels)
      return false
    }
    if (this.#redis !== redis) return false
    const wasDeaf = wishes.some(({ state }) => state === 'deaf')
    for (const wish of wishes) {
      wish.state = 'heard'
      wish.resolve()
    }
    return wasDeaf
  }

  #refused(error: Error, confirmed: Promise<unknown>, channels: string[]): void {
    // Of any other, the end of the connection follows.
    if (error.name !== 'ReplyError') return
    for (const channel of channels) if (this.#asked.get(channel) === confirmed) this.#asked.delete(channel)
    if (!this.#hasRefused) this.options.log.warn({ err: error }, 'Redis refuses a subscription; it is asked again')
    this.#hasRefused = true
    this.#astray()
  }

  #unsubscribe(redis: Redis, channels: string[]): void {
    for (const channel of channels) this.#asked.delete(channel)
    const ended = this.options.sharded ? redis.sunsubscribe(...channels) : redis.unsubscribe(...channels)
    // Where it fails there is no connection any more, and no subscription.
    ended.catch(() => {})
  }

  #down(): void {
    this.#redis = undefined
    this.#forgetAsked()
    this.#astray()
  }

  /** The node has taken channels away, without saying here which. */
  #again(): void {
    this.#forgetAsked()
    for (const channel of this.channels) this.#touch(channel)
    this.#astray()
  }

  #forgetAsked(): void {
    this.#asked.clear()
    this.#dirty.clear()
    for (const wish of this.#wishes.values()) if (wish.state === 'heard') wish.state = 'deaf'
  }

  #tick(): void {
    for (const wish of this.#wishes.values()) {
      if (wish.state !== 'waiting') continue
      wish.waited += 1
      if (wish.waited < PATIENCE_TICKS) continue
      wish.state = 'deaf'
      wish.resolve()
    }
    if (!this.#hasRefused) return
    this.#hasRefused = false
    for (const channel of this.channels) if (!this.#asked.has(channel)) this.#touch(channel)
  }

  /** One command names channels of one slot only, where there are slots. */
  #batches(channels: string[]): string[][] {
    const groups = this.options.sharded ? Map.groupBy(channels, slotOf).values() : [channels]
    return [...groups].flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / BATCH) }, (_, index) =>
        group.slice(index * BATCH, (index + 1) * BATCH),
      ),
    )
  }
}

import type { Logger } from '@conntext/kernel'
import { Redis } from 'ioredis'
import { busMeters } from '../meters.ts'
import { type Address, nameOf } from './address.ts'

// Time is counted in ticks, not by the clock: after this process itself has stood still for a while, what Redis has
// answered meanwhile is read before the next tick, and nobody is declared dead for it.
const TICK_MS = 250
/** Within so many ticks Redis answers a request. */
const ANSWER_TICKS = 4
/** What is asked while a connection is being made anew waits for so long, and no longer. */
const GRACE_TICKS = 2
const MAX_WAITING = 1_000
const PING_TICKS = 2
/** A connection on which nothing has been heard for so long is given up. */
const SILENT_TICKS = 6
const CONNECT_TICKS = 8
const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 1_000
const LAST_WORDS_MS = 500

/** Redis can't be reached at the moment, or does not answer. */
export class RedisAway extends Error {}

export type ConnectionEvents = {
  up?(redis: Redis): void
  /** The connection was lost, or could not be made. */
  down?(): void
  message?(channel: string, payload: string): void
  /** The node no longer serves what was subscribed on it. */
  moved?(): void
  tick?(): void
}

type Waiting = { run(): void; fail(error: Error): void; since: number }

/** Its socket may be known to be at its end a moment before that is told. */
const isOpen = ({ status, stream }: Redis): boolean => status === 'ready' && stream.writable

/**
 * One connection to one server, made again for ever. Nothing waits on it for long: a request fails after a second at
 * most, at once while Redis is known to be away.
 */
export class Connection {
  #redis: Redis | undefined
  #ready = false
  #closed = false
  #ticks = 0
  /** The tick of the last change between up and away, and of the last attempt. */
  #changedAt = 0
  #triedAt = 0
  #heardAt = 0
  #failures = 0
  /** Why it is away, as the log says already. */
  #told: string | undefined
  readonly #waiting: Waiting[] = []
  readonly #asked = new Set<Waiting>()
  #retry: Timer | undefined
  readonly #timer: Timer

  constructor(
    private readonly address: Address,
    private readonly log: Logger,
    private readonly events: ConnectionEvents = {},
  ) {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#connect()
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Away, and for longer than a mere reconnection takes. */
  get away(): boolean {
    return this.#closed || (!this.#ready && this.#ticks - this.#changedAt >= GRACE_TICKS)
  }

  /** Asks in the order of the calls. @throws RedisAway */
  ask<T>(what: (redis: Redis) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const asking: Waiting = {
      since: this.#ticks,
      fail: reject,
      run: () => {
        asking.since = this.#ticks
        this.#asked.add(asking)
        what(this.#redis!).then(resolve, reject)
      },
    }
    promise.then(
      () => this.#asked.delete(asking),
      () => this.#asked.delete(asking),
    )
    if (this.#ready && !isOpen(this.#redis!)) this.drop('the connection was closed')
    if (this.#ready) asking.run()
    else if (this.away || this.#waiting.length >= MAX_WAITING) reject(this.#awayError())
    else this.#waiting.push(asking)
    return promise
  }

  /** Gives the connection up and makes a new one. */
  drop(reason: string): void {
    if (!this.#closed) this.#lost(new Error(reason))
  }

  /** Resolves when nothing of it is left; what was asked gets a moment to be answered. */
  async close(): Promise<void> {
    if (this.#closed) return
    const deadline = performance.now() + LAST_WORDS_MS
    while (this.#ready && this.#asked.size > 0 && performance.now() < deadline) await Bun.sleep(5)
    this.#closed = true
    this.#ready = false
    clearInterval(this.#timer)
    clearTimeout(this.#retry)
    this.#letGo()
    this.#failAll(new RedisAway('the bus is closed'))
  }

  #connect(): void {
    this.#triedAt = this.#ticks
    const redis = new Redis({
      ...this.address,
      // A lost connection is made anew from here, with nothing left over from the one before.
      retryStrategy: null,
      enableOfflineQueue: false,
      autoResubscribe: false,
      connectTimeout: CONNECT_TICKS * TICK_MS,
      disableClientInfo: true,
    })
    this.#redis = redis
    let reason: Error | undefined
    const ours = () => this.#redis === redis
    redis.on('error', (error: Error) => {
      reason = error
    })
    redis.on('ready', () => ours() && this.#up(redis))
    redis.on('end', () => ours() && this.#lost(reason ?? new Error('the connection was closed')))
    const heard = (channel: string, payload: string) => {
      if (!ours()) return
      this.#heardAt = this.#ticks
      this.events.message?.(channel, payload)
    }
    if (this.events.message) redis.on('message', heard).on('smessage', heard)
    redis.on('moved', () => ours() && this.events.moved?.())
  }

  #up(redis: Redis): void {
    busMeters.connected()
    this.#ready = true
    this.#failures = 0
    this.#changedAt = this.#ticks
    this.#heardAt = this.#ticks
    if (this.#told !== undefined) this.log.info({ redis: nameOf(this.address) }, 'Redis is back')
    this.#told = undefined
    for (const waiting of this.#waiting.splice(0)) waiting.run()
    this.events.up?.(redis)
  }

  #lost(error: Error): void {
    const wasReady = this.#ready
    this.#ready = false
    if (wasReady) this.#changedAt = this.#ticks
    this.#letGo()
    for (const asked of [...this.#asked]) asked.fail(new RedisAway('the connection to Redis was lost'))
    if (this.#told !== error.message) {
      this.#told = error.message
      this.log.warn({ err: error, redis: nameOf(this.address) }, 'Redis is away')
    }
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures += 1
    clearTimeout(this.#retry)
    // At different times, lest all processes come back at once.
    this.#retry = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2))
    this.events.down?.()
  }

  #letGo(): void {
    const redis = this.#redis
    this.#redis = undefined
    if (!redis || redis.status === 'end') return
    redis.disconnect()
    // A frozen server would never answer the end of the connection.
    redis.stream?.destroy()
  }

  #tick(): void {
    this.#ticks += 1
    const expire = ({ since }: Waiting, ticks: number) => this.#ticks - since >= ticks
    for (const asked of this.#asked) {
      if (!expire(asked, ANSWER_TICKS)) break
      asked.fail(new RedisAway('Redis did not answer in time'))
    }
    if (this.#ready) this.#listen()
    else {
      if (this.away) for (const waiting of this.#waiting.splice(0)) waiting.fail(this.#awayError())
      const connecting = this.#redis !== undefined
      if (connecting && this.#ticks - this.#triedAt >= CONNECT_TICKS) this.drop('Redis did not answer in time')
    }
    this.events.tick?.()
  }

  #listen(): void {
    if (this.#ticks - this.#heardAt >= SILENT_TICKS) this.drop('Redis has not answered for a while')
    const redis = this.#redis
    if (this.#ticks % PING_TICKS !== 0) return
    redis?.ping().then(
      () => {
        if (this.#redis === redis) this.#heardAt = this.#ticks
      },
      // The end of the connection says the same.
      () => {},
    )
  }

  #failAll(error: Error): void {
    for (const waiting of [...this.#waiting.splice(0), ...this.#asked]) waiting.fail(error)
  }

  #awayError(): RedisAway {
    if (this.#closed) return new RedisAway('the bus is closed')
    return new RedisAway(this.#told === undefined ? 'Redis is away' : `Redis is away: ${this.#told}`)
  }
}

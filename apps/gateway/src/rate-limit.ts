import type { Rate } from './config.ts'

export type Bucket = { tokens: number; at: number }

/** What a client is told of its rate: the headers' numbers, seconds rounded up. */
export type Allowance = { allowed: boolean; limit: number; remaining: number; reset: number; retryAfter: number }

export const fullBucket = (rate: Rate, now: number): Bucket => ({ tokens: rate.burst, at: now })

function refill(bucket: Bucket, rate: Rate, now: number): void {
  bucket.tokens = Math.min(rate.burst, bucket.tokens + ((now - bucket.at) / 1000) * rate.perSecond)
  bucket.at = now
}

/** Takes one token if there is one. `now` in milliseconds, never going back. */
export const takeToken = (bucket: Bucket, rate: Rate, now: number): boolean => takeTokens(bucket, rate, now, 1)

/** Takes so many tokens if there are as many, or all where it takes more than there ever are. */
export function takeTokens(bucket: Bucket, rate: Rate, now: number, count: number): boolean {
  if (rate.perSecond === 0) return true
  refill(bucket, rate, now)
  const needed = Math.min(count, rate.burst)
  if (bucket.tokens < needed) return false
  bucket.tokens -= needed
  return true
}

/** In how many whole seconds there is a token again, or as many as are needed. */
export const secondsToToken = ({ tokens }: Bucket, { perSecond, burst }: Rate, count = 1): number =>
  Math.max(1, Math.ceil((Math.min(count, burst) - tokens) / perSecond))

/**
 * Token buckets by client, in memory and bounded: the client that has been quiet for longest is forgotten first, so
 * that a flood of addresses costs memory for `maxKeys` of them and no more.
 */
export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>()

  constructor(
    readonly rate: Rate,
    private readonly maxKeys: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get size(): number {
    return this.#buckets.size
  }

  /** Undefined where there is no limit. */
  take(key: string): Allowance | undefined {
    if (this.rate.perSecond === 0) return undefined
    const now = this.now()
    const bucket = this.#buckets.get(key) ?? fullBucket(this.rate, now)
    const allowed = takeToken(bucket, this.rate, now)
    // Insertion order becomes the order of use.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.maxKeys) this.#forgetOldest()
    return this.#allowance(bucket, allowed)
  }

  /** Whether the client has nothing left, without taking anything. */
  exhausted(key: string): boolean {
    const bucket = this.#buckets.get(key)
    if (!bucket) return false
    refill(bucket, this.rate, this.now())
    return bucket.tokens < 1
  }

  #allowance(bucket: Bucket, allowed: boolean): Allowance {
    const { perSecond, burst } = this.rate
    return {
      allowed,
      limit: burst,
      remaining: Math.floor(bucket.tokens),
      reset: Math.ceil((burst - bucket.tokens) / perSecond),
      retryAfter: allowed ? 0 : secondsToToken(bucket, this.rate),
    }
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next().value
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

import { DIRECT, STATE_HEADER } from './headers.ts'

/**
 * An instance that is about to end serves for longer than this (`LINGER_MS`) after it has begun to say so: whoever heard
 * from it within this time, and nothing of that, finds it there.
 */
export const FRESH_MS = 1_000
const GREETING_MS = 2_000
const GREET_EVERY_MS = 500

/** One process that a service runs as, and what is known of it. */
export class Instance {
  /** When the request was sent that it answered last, in order. */
  #goodAt = Number.NEGATIVE_INFINITY
  #resting = false
  #greeting: Promise<boolean> | undefined
  #greetedAt = Number.NEGATIVE_INFINITY

  constructor(readonly url: string) {}

  /** It was there a moment ago, and isn't about to go. */
  get fresh(): boolean {
    return !this.#resting && performance.now() - this.#goodAt < FRESH_MS
  }

  /** It was away, or is about to go, when it was heard of last. */
  get resting(): boolean {
    return this.#resting
  }

  /** Notes what an answer says of its sender, to a request of that moment (`performance.now()`). Answers whether it is good. */
  heard(response: Response, sentAt: number): boolean {
    this.#resting = response.headers.has(STATE_HEADER)
    if (!this.#resting) this.#goodAt = Math.max(this.#goodAt, sentAt)
    return !this.#resting
  }

  /** It can't be reached. */
  away(): void {
    this.#resting = true
  }

  /** Asks whether it is there and stays; those who ask meanwhile share the answer. */
  greet(): Promise<boolean> {
    this.#greeting ??= this.#greet().finally(() => {
      this.#greeting = undefined
    })
    return this.#greeting
  }

  /** Asks, for those who come later, unless that was just done. */
  greetAtTimes(): void {
    if (performance.now() - this.#greetedAt > GREET_EVERY_MS) void this.greet()
  }

  async #greet(): Promise<boolean> {
    const sentAt = performance.now()
    this.#greetedAt = sentAt
    try {
      const response = await fetch(`${this.url}/livez`, {
        ...DIRECT,
        signal: AbortSignal.timeout(GREETING_MS),
        redirect: 'manual',
      })
      await response.arrayBuffer()
      if (response.ok) return this.heard(response, sentAt)
    } catch {
      // Why is told by the request that then fails.
    }
    this.away()
    return false
  }
}

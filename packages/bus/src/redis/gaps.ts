import type { Logger } from '@conntext/kernel'
import { busMeters } from '../meters.ts'

// Looking again at everything is work: after an outage all who failed to publish say so, one after another.
const APART_MS = 1_000
const TELL_MS = 500

/** Who wants to know that messages may have been missed; called at once, and then once for all that follows soon. */
export class Gaps {
  readonly #listeners = new Set<() => void>()
  #calledAt = Number.NEGATIVE_INFINITY
  #later: Timer | undefined
  #telling: Timer | undefined
  #closed = false

  constructor(
    private readonly log: Logger,
    /** Tells every process of a gap. */
    private readonly tell: () => Promise<unknown>,
  ) {}

  add(listener: () => void): () => void {
    const own = () => listener()
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  /** There was one: to be called when all that is wanted is heard again. */
  found(): void {
    const wait = this.#calledAt + APART_MS - performance.now()
    if (wait <= 0) this.#call()
    else this.#later ??= setTimeout(() => this.#call(), wait)
  }

  /** Something could not be published: whoever listens to it has missed it, and is told so as soon as that goes. */
  made(): void {
    if (this.#closed) return
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined
      this.tell().catch(() => this.made())
    }, TELL_MS)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#later)
    clearTimeout(this.#telling)
    this.#listeners.clear()
  }

  #call(): void {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#calledAt = performance.now()
    busMeters.gap()
    this.log.info({}, 'messages of the bus may have been missed: everybody looks again')
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (error) {
        this.log.error({ err: error }, 'a listener for gaps of the bus failed')
      }
    }
  }
}

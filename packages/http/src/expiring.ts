import { type Clock, isWithin } from '@conntext/kernel'

type Entry<T> = { value: Promise<T>; at: number }
type Limits = { maxAgeMs: number; maxEntries: number; clock: Clock }

/**
 * A bounded cache of what `load` answers. Concurrent readers share one load; an entry that is dropped while its load
 * is under way is not brought back by it, so that whoever asks after a change never sees what was before it.
 */
export class Expiring<T> {
  readonly #entries = new Map<string, Entry<T>>()

  constructor(
    private readonly load: (key: string) => Promise<T>,
    private readonly limits: Limits,
  ) {}

  get(key: string): Promise<T> {
    const found = this.#entries.get(key)
    const now = this.limits.clock.now().getTime()
    if (found && isWithin(this.limits.maxAgeMs, found.at, now)) return found.value
    const entry: Entry<T> = { value: this.load(key), at: now }
    entry.value.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
    })
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    this.#trim()
    return entry.value
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  #trim(): void {
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.limits.maxEntries) return
      this.#entries.delete(oldest)
    }
  }
}

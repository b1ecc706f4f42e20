/** What to do with an event: hand it on, drop it as known, or fetch what lies between. */
export type Verdict = 'next' | 'known' | 'gap'

/** How far each stream has been read. */
export class Cursors {
  readonly #last = new Map<string, number>()

  /** What identify sends; empty before the first ready. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#last)
  }

  get empty(): boolean {
    return this.#last.size === 0
  }

  /** Notes an event's number. Numbers rise by one: a leap means that something was missed. */
  take(stream: string, seq: number): Verdict {
    const last = this.#last.get(stream) ?? 0
    if (seq <= last) return 'known'
    if (seq > last + 1) return 'gap'
    this.#last.set(stream, seq)
    return 'next'
  }

  set(stream: string, seq: number): void {
    this.#last.set(stream, seq)
  }

  delete(stream: string): void {
    this.#last.delete(stream)
  }

  /** Streams that were not followed before begin at their head; what is followed already will be replayed. */
  begin(heads: Record<string, number>): void {
    for (const [stream, head] of Object.entries(heads)) if (!this.#last.has(stream)) this.#last.set(stream, head)
    for (const stream of [...this.#last.keys()]) if (!(stream in heads)) this.#last.delete(stream)
  }
}

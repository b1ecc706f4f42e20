// Others take it for as long as that, and a bit longer.
const AGAIN_MS = 3_000
const CHANNELS_KEPT = 100

/** When one has said last that one is writing, by channel: called at each key, it is said now and then. */
export class OwnTyping {
  readonly #said = new Map<string, number>()

  /** Whether to say it now. */
  isNews(channelId: string, now = performance.now()): boolean {
    if (now - (this.#said.get(channelId) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return false
    this.#said.delete(channelId)
    this.#said.set(channelId, now)
    if (this.#said.size > CHANNELS_KEPT) this.#said.delete(this.#said.keys().next().value as string)
    return true
  }

  /** One has sent what one was writing. */
  sent(channelId: string): void {
    this.#said.delete(channelId)
  }
}

export type WatchedHooks = {
  /** Whether somebody receives it is otherwise than its owner was told. */
  tell(producerId: string, watched: boolean): void
}

type Known = { watchers: number; told: boolean; timer: Timer | undefined }

/**
 * Whether anybody receives what is sent, so that nobody encodes and uploads for nobody: a pause of the server's producer
 * would not stop its sender. That somebody does is told at once; that nobody does, after a while, for people look to and
 * fro. At first everything counts as received.
 */
export class Watched {
  readonly #known = new Map<string, Known>()

  constructor(
    private readonly afterMs: number,
    private readonly hooks: WatchedHooks,
  ) {}

  begin(producerId: string): void {
    const known: Known = { watchers: 0, told: true, timer: undefined }
    this.#known.set(producerId, known)
    this.#await(producerId, known)
  }

  end(producerId: string): void {
    clearTimeout(this.#known.get(producerId)?.timer)
    this.#known.delete(producerId)
  }

  /** One more receives it, or one fewer. What isn't looked after is passed over. */
  count(producerId: string, by: 1 | -1): void {
    const known = this.#known.get(producerId)
    if (!known) return
    known.watchers += by
    if (known.watchers === 0) this.#await(producerId, known)
    else if (known.watchers === 1 && by === 1) this.#resume(producerId, known)
  }

  /** Whether its owner was told that nobody receives it. */
  isUnwatched(producerId: string): boolean {
    return this.#known.get(producerId)?.told === false
  }

  stop(): void {
    for (const producerId of [...this.#known.keys()]) this.end(producerId)
  }

  #await(producerId: string, known: Known): void {
    known.timer = setTimeout(() => {
      known.timer = undefined
      known.told = false
      this.hooks.tell(producerId, false)
    }, this.afterMs)
    known.timer.unref()
  }

  #resume(producerId: string, known: Known): void {
    clearTimeout(known.timer)
    known.timer = undefined
    if (known.told) return
    known.told = true
    this.hooks.tell(producerId, true)
  }
}

/** A pause that can be cut short. A ring while nobody sleeps is remembered and ends the next pause at once. */
export class Alarm {
  #rung = false
  #ended = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Ends this pause and every later one. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Sleeps until a ring, for `ms` at most where given; `deaf` sleeps through rings and leaves them for the next pause. */
  async sleep(ms?: number, { deaf = false } = {}): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      this.#wake = () => {
        if (!this.#ended && (deaf || !this.#rung)) return
        clearTimeout(timer)
        resolve()
      }
      this.#wake()
    })
    this.#wake = undefined
    if (!deaf) this.#rung = false
  }
}

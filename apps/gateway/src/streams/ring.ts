import type { StreamEvent } from '@conntext/contracts'

type Kept = StreamEvent & { at: number }

/** A stream's recent frames, without gaps, so that most who come back need nothing from a database. */
export class FrameRing {
  #frames: Kept[] = []
  #first = 0

  constructor(private readonly capacity: number) {}

  push(seq: number, frame: string, now: number): void {
    this.#frames.push({ seq, frame, at: now })
    if (this.#frames.length - this.#first > this.capacity) this.#first += 1
    // Moving the rest down now and then is cheaper than doing it for each frame.
    if (this.#first > this.capacity) this.#compact()
  }

  /** All frames after `seq`; undefined when the ring does not reach back that far. */
  after(seq: number): StreamEvent[] | undefined {
    const oldest = this.#frames[this.#first]
    if (!oldest || oldest.seq > seq + 1) return undefined
    return this.#frames.slice(this.#first + seq + 1 - oldest.seq)
  }

  forgetBefore(time: number): void {
    while (this.#first < this.#frames.length && this.#frames[this.#first]!.at < time) this.#first += 1
    this.#compact()
  }

  clear(): void {
    this.#frames = []
    this.#first = 0
  }

  #compact(): void {
    if (this.#first === 0) return
    this.#frames = this.#frames.slice(this.#first)
    this.#first = 0
  }
}

import type { Logger } from '@conntext/kernel'
import { busMeters } from '../meters.ts'

// For so long others are waited for.
const WAIT_MS = 250
// A process that is so much later than that has stood still: what the others have said is still to be read, …
const STOOD_STILL_MS = 50
// … for which it takes this many times at the most, be it as busy as it may.
const MOST_WAITS = 3

type Waiting = { heard: number; needed: number; heardHere: boolean; done(): void }

/** What was announced from here, and how many have said already that they have heard it. */
export class Announcements {
  readonly #waiting = new Map<string, Waiting>()
  #next = 0

  constructor(private readonly log: Logger) {}

  /**
   * `send` gets the announcement's id and answers how many have received it. Resolves when all of them have said that
   * they heard it, or have not in time; fails as `send` does. If it did not come back to this process, `tellHere` is
   * called before that.
   */
  async make(subject: string, send: (id: string) => Promise<number>, tellHere: () => void): Promise<void> {
    const id = String(this.#next++)
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting: Waiting = { heard: 0, needed: Number.POSITIVE_INFINITY, heardHere: false, done: resolve }
    this.#waiting.set(id, waiting)
    let timer: Timer | undefined
    const began = performance.now()
    let outcome: 'heard' | 'late' = 'heard'
    try {
      waiting.needed = await send(id)
      if (waiting.heard >= waiting.needed) return
      const wait = (waits: number) => {
        const due = performance.now() + WAIT_MS
        timer = setTimeout(() => {
          if (performance.now() - due > STOOD_STILL_MS && waits < MOST_WAITS) return wait(waits + 1)
          outcome = 'late'
          this.log.warn(
            { subject, heard: waiting.heard, of: waiting.needed },
            'not all said in time that they heard it',
          )
          resolve()
        }, WAIT_MS)
      }
      wait(1)
      await promise
    } finally {
      clearTimeout(timer)
      busMeters.announced(outcome, (performance.now() - began) / 1000)
      this.#waiting.delete(id)
      if (!waiting.heardHere) tellHere()
    }
  }

  /** A process, maybe this one, has called its listeners. */
  heard(id: string, here = false): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    waiting.heard += 1
    waiting.heardHere ||= here
    if (waiting.heard >= waiting.needed) waiting.done()
  }

  /** Waits for nobody any more. */
  close(): void {
    for (const { done } of this.#waiting.values()) done()
  }
}

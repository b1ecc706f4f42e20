import { voiceErrors } from './errors.ts'

const MOST_WAITING = 64

/** One after the other, in the order of asking. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /**
   * What its participant asks for.
   * @throws voice.tooMany (429) where too much waits already
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    return this.#waiting >= MOST_WAITING ? Promise.reject(voiceErrors.tooMany({ retryAfter: 1 })) : this.must(work)
  }

  /** What others decide of them: that is done however much they ask for. */
  must<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1
    const done = this.#last.then(work).finally(() => {
      this.#waiting -= 1
    })
    this.#last = done.catch(() => {})
    return done
  }
}

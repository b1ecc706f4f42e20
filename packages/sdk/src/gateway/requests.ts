import { ProblemError } from '../problem.ts'
import { ConnectionLost } from './connection-lost.ts'
import type { Reply } from './frames.ts'

const TOO_MANY = 429
// Whoever is to wait for longer (slow mode may last hours) is told so: they would no longer know what it was about.
const LONGEST_WAIT_S = 30
// The rest waits here: a burst of thousands must not be too many frames for the server.
const MAX_UNANSWERED = 100

type Line = { send(frame: string): void }
type Pending = {
  /** As JSON. */
  frame: string
  once: Once | undefined
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  /** The connection on which it waits for its answer. */
  sentOn: Line | undefined
}

/** What makes no sense on another connection. `taken` is called with the answer as it comes, ahead of what follows it. */
export type Once = { taken?: ((answer: unknown) => void) | undefined }

/**
 * What was asked of the server and is not answered yet. It outlives connections: on the next one it is asked again, so
 * it has to be such that a repeat does no harm.
 */
export class Requests {
  readonly #pending = new Map<number, Pending>()
  /** Until what was too many is asked again. */
  readonly #pauses = new Set<ReturnType<typeof setTimeout>>()
  #line: Line | undefined
  #nextId = 1
  #maxFrameBytes = Number.POSITIVE_INFINITY

  /** From now on they go here. */
  begin(line: Line, maxFrameBytes: number): void {
    this.#line = line
    this.#maxFrameBytes = maxFrameBytes
    this.#transmit()
  }

  /** The connection is gone: what it has not answered waits for the next. */
  pause(): void {
    this.#line = undefined
    for (const [id, pending] of [...this.#pending]) {
      pending.sentOn = undefined
      if (!pending.once) continue
      this.#pending.delete(id)
      pending.reject(new ConnectionLost())
    }
  }

  /** Nothing will be answered any more. */
  end(reason: Error): void {
    this.pause()
    for (const pending of this.#pending.values()) pending.reject(reason)
    this.#pending.clear()
    for (const timer of this.#pauses) clearTimeout(timer)
    this.#pauses.clear()
  }

  /**
   * @throws ProblemError when the server refuses it, RangeError when it is larger than the server takes at all,
   * ConnectionLost for what is asked `once` and has no answer when the connection goes, or finds none
   */
  ask(frame: object, once?: Once): Promise<unknown> {
    if (once && !this.#line) return Promise.reject(new ConnectionLost())
    return new Promise((resolve, reject) => {
      const id = this.#nextId++
      this.#pending.set(id, { frame: JSON.stringify({ ...frame, id }), once, resolve, reject, sentOn: undefined })
      this.#transmit()
    })
  }

  settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id)
    if (!pending) return
    const wait = reply.ok || reply.error.status !== TOO_MANY ? undefined : (reply.error.retryAfter ?? 1)
    if (wait !== undefined && wait <= LONGEST_WAIT_S) {
      this.#again(pending, wait)
      return
    }
    this.#pending.delete(reply.id)
    if (reply.ok) {
      pending.once?.taken?.(reply.d)
      pending.resolve(reply.d)
    } else pending.reject(new ProblemError(reply.error))
    this.#transmit()
  }

  /** Sends what waits, as far as it may. */
  #transmit(): void {
    const line = this.#line
    if (!line) return
    let unanswered = 0
    for (const [id, pending] of this.#pending) {
      if (unanswered === MAX_UNANSWERED) return
      if (pending.sentOn === undefined && !this.#fits(id, pending)) continue
      unanswered += 1
      if (pending.sentOn) continue
      pending.sentOn = line
      line.send(pending.frame)
    }
  }

  /** The server would end the connection for a frame that is too large, each time that it came. */
  #fits(id: number, { frame, reject }: Pending): boolean {
    const most = this.#maxFrameBytes
    // No character takes more than three bytes for each of its UTF-16 units.
    if (frame.length * 3 <= most || new TextEncoder().encode(frame).length <= most) return true
    this.#pending.delete(id)
    reject(new RangeError(`the server takes at most ${most} bytes`))
    return false
  }

  #again(pending: Pending, retryAfter: number): void {
    const { sentOn } = pending
    const timer = setTimeout(
      () => {
        this.#pauses.delete(timer)
        // On another connection it has been sent again already.
        if (pending.sentOn !== sentOn) return
        pending.sentOn = undefined
        this.#transmit()
      },
      retryAfter * 1_000 * (1 + Math.random() / 4),
    )
    this.#pauses.add(timer)
  }
}

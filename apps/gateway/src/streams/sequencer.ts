import { isDeletion } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import { FrameRing } from './ring.ts'
import type { StreamSource } from './source.ts'

// More than this that waits for a gap to close is let go: it is in the log, and is fetched with what is missing.
const MAX_WAITING = 2_000
const RETRY_MS = [50, 100, 250, 500, 1_000, 2_000]

/** While closed, nothing is delivered; what comes in waits. */
export type Gate = { readonly closed: boolean }
export const openGate: Gate = { closed: false }

export type SequencerOptions = {
  stream: string
  gate: Gate
  source: StreamSource
  log: Logger
  ringFrames: number
  gapWaitMs: number
  /** Called once for each event, in the order of their numbers. */
  deliver(frame: string): void
  /** The log can't give what is missing: the stream goes on from `seq`. */
  reset(seq: number): void
  repaired(): void
}

/**
 * Turns what the bus brings of one stream, late, twice, out of order or not at all, into the stream: every event once,
 * in order. `head` is the last one delivered.
 */
export class Sequencer {
  head = 0
  readonly ring: FrameRing
  /** The highest number that is known to exist. */
  #known = 0
  readonly #waiting = new Map<number, string>()
  #live = false
  #closed = false
  #repairing = false

  constructor(private readonly options: SequencerOptions) {
    this.ring = new FrameRing(options.ringFrames)
  }

  /** Begins after `head`; what the bus has brought meanwhile follows. `known` is where the owner stands. */
  start(head: number, known = head): void {
    this.head = head
    this.#live = true
    this.#known = Math.max(this.#known, known)
    this.flush()
  }

  close(): void {
    this.#closed = true
    this.#waiting.clear()
  }

  /** One event from the bus. */
  receive(seq: number, frame: string): void {
    if (this.#closed || (this.#live && seq <= this.head)) return
    if (seq > this.#known) this.#known = seq
    if (this.#live && !this.options.gate.closed && seq === this.head + 1) {
      this.#deliver(seq, frame)
      if (this.#known > seq) this.flush()
      return
    }
    if (this.#waiting.size < MAX_WAITING) this.#waiting.set(seq, frame)
    this.flush()
  }

  /**
   * What the owner says of its head; `before` is where this sequencer stood when it was asked. An owner that is behind
   * that has lost events that were delivered: it has been restored from a backup.
   */
  expect(ownerHead: number, before: number): void {
    if (!this.#live || this.#closed) return
    if (ownerHead < before) {
      this.#skipTo(ownerHead)
      return
    }
    if (ownerHead > this.#known) this.#known = ownerHead
    this.flush()
  }

  /** Delivers what can be delivered, and sees to it that what is missing is fetched. */
  flush(): void {
    if (!this.#live || this.#closed || this.options.gate.closed) return
    for (;;) {
      const next = this.head + 1
      const frame = this.#waiting.get(next)
      if (frame === undefined) break
      this.#waiting.delete(next)
      this.#deliver(next, frame)
    }
    if (this.head < this.#known) this.#startRepair()
    else if (this.#waiting.size > 0) this.#waiting.clear()
  }

  #deliver(seq: number, frame: string): void {
    this.head = seq
    // The deleted message's words are still in the ring; in the log they are not any more.
    if (isDeletion(frame)) this.ring.clear()
    this.ring.push(seq, frame, performance.now())
    this.options.deliver(frame)
  }

  #startRepair(): void {
    if (this.#repairing) return
    this.#repairing = true
    void this.#repair().finally(() => {
      this.#repairing = false
      // Something may have come in after the last look.
      this.flush()
    })
  }

  get #behind(): boolean {
    return !this.#closed && !this.options.gate.closed && this.head < this.#known
  }

  async #repair(): Promise<void> {
    await Bun.sleep(this.options.gapWaitMs)
    for (let failures = 0; this.#behind; ) {
      if (this.#waiting.has(this.head + 1)) {
        this.flush()
        continue
      }
      try {
        await this.#fetch()
        failures = 0
      } catch (error) {
        this.options.log.warn({ err: error, stream: this.options.stream }, 'missing events could not be fetched yet')
        await Bun.sleep(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!)
        failures += 1
      }
    }
  }

  async #fetch(): Promise<void> {
    const { source, stream, repaired } = this.options
    const from = this.head
    const { events, truncated } = await source.events(stream, from)
    if (this.#closed) return
    if (truncated || events.length === 0) return this.#askOwner(from)
    repaired()
    for (const { seq, frame } of events) if (seq > this.head) this.#waiting.set(seq, frame)
    this.#known = Math.max(this.#known, events.at(-1)!.seq)
    this.flush()
  }

  /** The log does not have what follows: the owner says where the stream stands. */
  async #askOwner(from: number): Promise<void> {
    const { source, stream } = this.options
    const owner = (await source.heads([stream])).get(stream) ?? 0
    if (this.#closed || this.head !== from) return
    this.#skipTo(owner)
  }

  #skipTo(seq: number): void {
    const moved = seq !== this.head
    for (const waiting of this.#waiting.keys()) if (waiting <= seq) this.#waiting.delete(waiting)
    this.head = seq
    this.#known = Math.max(seq, ...this.#waiting.keys())
    if (!moved) {
      // What was announced beyond the owner's head does not exist.
      this.#known = seq
      this.#waiting.clear()
      return
    }
    this.ring.clear()
    this.options.log.warn({ stream: this.options.stream, seq }, 'a stream had to be reset')
    this.options.reset(seq)
  }
}

import { MAX_SENDS } from '@conntext/contracts'
import type { SendFrame } from './connection.ts'

/** Hands messages of one connection on, in one call. Never fails. */
export type Ship = (frames: SendFrame[]) => Promise<void>

/**
 * What one connection sends. One call is under way at a time, so that everything keeps its order; what arrives meanwhile
 * goes together with the next. Only a message with files, which may be waited for, goes by itself, and holds up what
 * follows in its own channel alone.
 */
export class SendQueue {
  #waiting: SendFrame[] = []
  /** What waits in channels in which a message with files is under way. */
  readonly #lanes = new Map<string, SendFrame[]>()
  #shipping = false

  get length(): number {
    let length = this.#waiting.length
    for (const lane of this.#lanes.values()) length += lane.length
    return length
  }

  add(frame: SendFrame, ship: Ship): void {
    this.#waiting.push(frame)
    if (this.#shipping) return
    this.#shipping = true
    // At the end of this turn of the event loop: what has come in one piece goes in one call.
    setImmediate(() => void this.#ship(ship))
  }

  async #ship(ship: Ship): Promise<void> {
    while (this.#waiting.length > 0) {
      const together = this.#take(ship)
      if (together.length > 0) await ship(together)
    }
    this.#shipping = false
  }

  /** What goes with the next call; what goes by itself is on its way by then. */
  #take(ship: Ship): SendFrame[] {
    const together: SendFrame[] = []
    const channels = new Set<string>()
    let taken = 0
    for (const frame of this.#waiting) {
      const { channelId } = frame
      const lane = this.#lanes.get(channelId)
      const hasFiles = (frame.mediaIds?.length ?? 0) > 0
      // It comes after what goes now.
      if (together.length === MAX_SENDS || (hasFiles && channels.has(channelId))) break
      taken += 1
      if (lane) lane.push(frame)
      else if (hasFiles) void this.#run(channelId, frame, ship)
      else {
        together.push(frame)
        channels.add(channelId)
      }
    }
    this.#waiting = this.#waiting.slice(taken)
    return together
  }

  async #run(channelId: string, first: SendFrame, ship: Ship): Promise<void> {
    const lane = [first]
    this.#lanes.set(channelId, lane)
    while (lane.length > 0) await ship(lane.splice(0, MAX_SENDS))
    this.#lanes.delete(channelId)
  }
}

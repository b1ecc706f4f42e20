import type { VoiceFrame, VoiceOp } from '@conntext/contracts'

// More operations of one connection than this never wait at once, however slow the node is, nor more text than this.
const MOST_WAITING = 2_000
const MOST_CHARACTERS = 4_194_304
const MOST_TOGETHER = 16

/** What doesn't depend on one another: of these, what waits one after the other may be asked at once. */
const TOGETHER = new Set<VoiceOp>(['voice.consume', 'voice.resumeConsumer', 'voice.setPreferredLayers'])

/** Does operations of one connection, which don't depend on one another. Never fails. */
export type Run = (frames: VoiceFrame[]) => Promise<void>

/** What one connection asks in calls: in its order, and each when what came before it has been answered. */
export class VoiceQueue {
  #waiting: { frame: VoiceFrame; length: number }[] = []
  #characters = 0
  #running = false

  /** Answers whether there was room for it. `length` is the frame's, as text. */
  add(frame: VoiceFrame, length: number, run: Run): boolean {
    if (this.#waiting.length >= MOST_WAITING || this.#characters + length > MOST_CHARACTERS) return false
    this.#waiting.push({ frame, length })
    this.#characters += length
    if (!this.#running) void this.#work(run)
    return true
  }

  /** What waits is not done any more. */
  clear(): void {
    this.#waiting = []
    this.#characters = 0
  }

  async #work(run: Run): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.splice(0, this.#ready())
      for (const { length } of taken) this.#characters -= length
      await run(taken.map(({ frame }) => frame))
    }
    this.#running = false
  }

  /** How many can be done now. */
  #ready(): number {
    const [first, ...others] = this.#waiting.slice(0, MOST_TOGETHER)
    if (!TOGETHER.has(first!.frame.op)) return 1
    const end = others.findIndex(({ frame }) => frame.op !== first!.frame.op)
    return end === -1 ? others.length + 1 : end + 1
  }
}

import { type Frame, Socket } from '../websocket/client.ts'
import { clientOps, eventTypes, faultsOf, serverOps } from './document.ts'

/** A WebSocket that looks at each frame that it gets as the document has it. */
export class Recorder extends Socket {
  readonly #asked = new Map<number, string>()
  #looked = 0

  override send(frame: unknown): void {
    const { id, op } = frame as Frame
    if (id !== undefined) this.#asked.set(id, op)
    super.send(frame)
  }

  /** What was sent so far and not looked at yet: by which names, and with what faults. */
  look(): { names: string[]; faults: string[] } {
    const frames = this.frames.slice(this.#looked)
    this.#looked = this.frames.length
    const found = frames.map((frame) => ({ frame, name: this.#nameOf(frame) }))
    const faults = found.flatMap(({ frame, name }) =>
      (name === undefined ? ['is not in the document'] : faultsOf(name, frame)).map(
        (fault) => `${name}: ${fault} in ${JSON.stringify(frame).slice(0, 500)}`,
      ),
    )
    return { names: found.map(({ name }) => name ?? '?'), faults }
  }

  #nameOf(frame: Frame): string | undefined {
    if (frame.op === 'event') return eventTypes.find((type) => type === frame.t)
    if (frame.op !== 'reply') return serverOps.find((op) => op === frame.op)
    const op = clientOps.find((one) => one === this.#asked.get(frame.id!))
    return op && (frame.ok ? `reply.${op}` : 'reply.refused')
  }
}

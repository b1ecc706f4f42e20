import { eventually } from '@conntext/testing'

// biome-ignore lint/suspicious/noExplicitAny: frames are looked at as a client sees them
export type Frame = any

/** A real WebSocket that keeps what it is sent. */
export class Client {
  readonly frames: Frame[] = []
  closed: { code: number; reason: string } | undefined
  readonly socket: WebSocket
  #nextId = 1

  constructor(url: string) {
    this.socket = new WebSocket(url)
    this.socket.onmessage = ({ data }) => this.frames.push(JSON.parse(data as string))
    this.socket.onclose = ({ code, reason }) => {
      this.closed = { code, reason }
    }
  }

  send(frame: object | string): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** Waits for a frame that fits, from the first one on. */
  frame(fits: (frame: Frame) => boolean): Promise<Frame> {
    return eventually(() => {
      if (this.closed && !this.frames.some(fits)) throw new Error(`closed with ${this.closed.code} instead`)
      return this.frames.find(fits)
    })
  }

  op(op: string): Promise<Frame> {
    return this.frame((frame) => frame.op === op)
  }

  /** Sends an op with an id, and answers its reply. */
  async ask(frame: object): Promise<Frame> {
    const id = this.#nextId++
    this.send({ ...frame, id })
    return this.frame((one) => one.op === 'reply' && one.id === id)
  }

  /** The close code, once there is one. */
  async code(): Promise<number> {
    return (await eventually(() => this.closed)).code
  }

  /** The numbers of the events that came on a stream, in the order in which they came. */
  seqs(stream: string): number[] {
    return this.frames.filter((one) => one.op === 'event' && one.stream === stream && one.seq).map((one) => one.seq)
  }

  close(): void {
    this.socket.close()
  }
}

/** The whole numbers from `from` to `to`. */
export const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index)

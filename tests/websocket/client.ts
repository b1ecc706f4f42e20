import { eventually } from '@conntext/testing'

export type Frame = Record<string, unknown> & { op: string; id?: number; t?: string; stream?: string; seq?: number }
type Problem = { status: number; code: string; requestId: string }
export type Reply = { op: 'reply'; id: number; ok: boolean; d?: unknown; error?: Problem }

/** A bare WebSocket to the gateway, which says what it is told and keeps all that it hears. */
export class Socket {
  readonly frames: Frame[] = []
  readonly #socket: WebSocket
  #code: number | undefined
  #nextId = 1

  constructor(baseUrl: string) {
    this.#socket = new WebSocket(`${baseUrl.replace(/^http/, 'ws')}/v1/gateway`)
    this.#socket.onmessage = ({ data }) => void this.frames.push(JSON.parse(String(data)) as Frame)
    this.#socket.onclose = ({ code }) => {
      this.#code = code
    }
    this.#socket.onerror = () => {}
  }

  get open(): boolean {
    return this.#code === undefined
  }

  /** A text or bytes as they are; anything else as JSON. */
  send(frame: unknown): void {
    if (typeof frame === 'string' || frame instanceof Uint8Array) this.#socket.send(frame as string)
    else this.#socket.send(JSON.stringify(frame))
  }

  async ask(frame: object): Promise<Reply> {
    const id = this.#nextId++
    this.send({ ...frame, id })
    return (await this.seen((one) => one.op === 'reply' && one.id === id)) as unknown as Reply
  }

  /** The first frame of the kind, once it has come. */
  seen(wanted: (frame: Frame) => boolean, withinMs = 10_000): Promise<Frame> {
    return eventually(() => {
      const found = this.frames.find(wanted)
      if (!found && !this.open) throw new Error(`closed with ${this.#code} before the frame came`)
      return found
    }, withinMs)
  }

  /** With what it was closed. */
  code(withinMs = 10_000): Promise<number> {
    return eventually(() => this.#code, withinMs)
  }

  events(type: string, stream?: string): Frame[] {
    return this.frames.filter((one) => one.t === type && (stream === undefined || one.stream === stream))
  }

  close(): void {
    this.#socket.close()
  }

  /** Gone without a word. */
  terminate(): void {
    // Of Bun's WebSocket alone.
    ;(this.#socket as unknown as { terminate(): void }).terminate()
  }
}

/** A connection that has said hello, and nothing yet. */
export async function connect(baseUrl: string): Promise<Socket> {
  const socket = new Socket(baseUrl)
  await socket.seen(({ op }) => op === 'hello')
  return socket
}

/** A connection that has identified itself and has its `ready`. */
export async function enter(baseUrl: string, token: string): Promise<Socket> {
  const socket = await connect(baseUrl)
  socket.send({ op: 'identify', token })
  await socket.seen(({ op }) => op === 'ready')
  return socket
}

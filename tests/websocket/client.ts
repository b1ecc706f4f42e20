export type Frame = Record<string, unknown> & { op: string; id?: number; t?: string; stream?: string; seq?: number }
type Problem = { status: number; code: string; requestId: string }
export type Reply = { op: 'reply'; id: number; ok: boolean; d?: unknown; error?: Problem }

// As `eventually`: shortly before a test would be given up.
const WITHIN_MS = 25_000

/**
 * A bare WebSocket to the gateway, which says what it is told and keeps all that it hears. Of itself it says only that it
 * is still there, as `hello` wants it: a test on a busy machine may take longer than the gateway waits for that.
 */
export class Socket {
  readonly frames: Frame[] = []
  readonly #socket: WebSocket
  /** Those who look at what has come, whenever something has. */
  readonly #waiting = new Set<() => void>()
  #beating: Timer | undefined
  #code: number | undefined
  #nextId = 1

  constructor(baseUrl: string) {
    this.#socket = new WebSocket(`${baseUrl.replace(/^http/, 'ws')}/v1/gateway`)
    this.#socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data)) as Frame
      this.frames.push(frame)
      if (frame.op === 'hello') this.#beat(frame.heartbeatMs as number)
      for (const look of this.#waiting) look()
    }
    this.#socket.onclose = ({ code }) => {
      this.#code = code
      clearInterval(this.#beating)
      for (const look of this.#waiting) look()
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

  /** The first frame of the kind, from the one with that number on, once it has come. */
  seen(wanted: (frame: Frame) => boolean, from = 0): Promise<Frame> {
    let looked = from
    return this.#once(() => {
      for (; looked < this.frames.length; looked += 1) if (wanted(this.frames[looked]!)) return this.frames[looked]
      if (!this.open) throw new Error(`closed with ${this.#code} before the frame came: ${wanted}`)
      return undefined
    }, wanted)
  }

  /** With what it was closed. */
  code(): Promise<number> {
    return this.#once(() => this.#code, 'its end')
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

  #beat(everyMs: number): void {
    this.#beating = setInterval(() => this.#socket.send('{"op":"heartbeat"}'), everyMs)
    this.#beating.unref()
  }

  /** What `look` finds, now or after one of the next frames. */
  async #once<T>(look: () => T | undefined, what: unknown): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const again = () => {
      try {
        const found = look()
        if (found !== undefined) resolve(found)
      } catch (error) {
        reject(error)
      }
    }
    const timer = setTimeout(() => reject(new Error(`not within ${WITHIN_MS} ms: ${what}`)), WITHIN_MS)
    this.#waiting.add(again)
    again()
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(again)
    })
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

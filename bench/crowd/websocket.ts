import type { Socket } from 'bun'
import { clientFrame, FrameReader, PONG, type Take } from './frames.ts'

const [E, R, A, P, S] = [...'eraps'].map((letter) => letter.charCodeAt(0))

/** The names of what a server sends, told by two letters: that costs less than reading it as JSON. */
export type FrameKind = 'event' | 'ready' | 'reply' | 'reset' | 'other'

/** Of a frame that begins with `{"op":"…`. */
export function kindOf(data: Buffer, from: number): FrameKind {
  const [first, third] = [data[from + 7], data[from + 9]]
  if (first === E) return 'event'
  if (first !== R) return 'other'
  return third === A ? 'ready' : third === P ? 'reply' : third === S ? 'reset' : 'other'
}

export type Listening = { opened: () => void; take: Take; lost: (reason: string) => void }

/** A WebSocket client over a bare TCP socket, which can do what is needed here and no more. */
export class RawSocket {
  bytes = 0
  #socket: Socket | undefined
  #head: Buffer | undefined = Buffer.alloc(0)
  #ended = false
  readonly #reader: FrameReader

  constructor(
    private readonly port: number,
    private readonly path: string,
    private readonly on: Listening,
  ) {
    this.#reader = new FrameReader(
      on.take,
      (code) => this.#lose(`closed with ${code}`),
      () => void this.#socket?.write(PONG),
    )
  }

  async connect(): Promise<void> {
    const key = 'dGhlIHNhbXBsZSBub25jZQ=='
    const request =
      `GET ${this.path} HTTP/1.1\r\nHost: 127.0.0.1:${this.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`
    await Bun.connect({
      hostname: '127.0.0.1',
      port: this.port,
      socket: {
        open: (socket) => {
          this.#socket = socket
          socket.write(request)
        },
        data: (_, chunk) => this.#receive(chunk),
        close: () => this.#lose('the connection ended'),
        error: (_, error) => this.#lose(String(error)),
        connectError: (_, error) => this.#lose(String(error)),
      },
    })
  }

  send(text: string): void {
    this.write(clientFrame(text))
  }

  /** A frame that is one already. */
  write(frame: Buffer): void {
    // Whoever is not connected yet, or no more, has nothing to say.
    if (!this.#socket || this.#head || this.#ended) return
    if (this.#socket.write(frame) !== frame.length) this.#lose('what was sent did not fit')
  }

  end(): void {
    this.#ended = true
    this.#socket?.terminate()
  }

  #lose(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.on.lost(reason)
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return
    this.bytes += chunk.length
    if (this.#head) this.#begin(Buffer.concat([this.#head, chunk]))
    else this.#reader.push(chunk)
  }

  #begin(data: Buffer): void {
    this.#head = data
    const end = data.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = data.toString('latin1', 0, end)
    if (!head.startsWith('HTTP/1.1 101')) {
      this.#lose(`refused: ${head.split('\r\n')[0]}`)
      return
    }
    this.#head = undefined
    this.on.opened()
    this.#reader.push(data.subarray(end + 4))
  }
}

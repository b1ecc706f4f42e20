const TEXT = 1
const CLOSE = 8
const PING = 9

/** Where a whole text frame of the server's lies in what has come. */
export type Take = (data: Buffer, from: number, to: number) => void

/** Finds a server's WebSocket frames in what comes over its socket, as cheaply as can be: the server is what is measured. */
export class FrameReader {
  #rest: Buffer | undefined

  constructor(
    private readonly take: Take,
    private readonly closed: (code: number) => void,
    private readonly pinged: () => void,
  ) {}

  push(chunk: Buffer): void {
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    while (data.length - at >= 2) {
      const short = data[at + 1]! & 0x7f
      const from = at + (short === 126 ? 4 : short === 127 ? 10 : 2)
      if (data.length < from) break
      const length =
        short === 126 ? data.readUInt16BE(at + 2) : short === 127 ? Number(data.readBigUInt64BE(at + 2)) : short
      if (data.length < from + length) break
      const kind = data[at]! & 0x0f
      at = from + length
      if (kind === TEXT) this.take(data, from, at)
      else if (kind === PING) this.pinged()
      else if (kind === CLOSE) this.closed(length >= 2 ? data.readUInt16BE(from) : 1005)
    }
    this.#rest = at < data.length ? data.subarray(at) : undefined
  }
}

/** A client's frame, masked with zeros: the mask protects proxies, of which there are none here. */
export function clientFrame(text: string, kind = TEXT): Buffer {
  const payload = Buffer.from(text)
  if (payload.length > 65_535) throw new Error('too long a frame')
  const head = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 0xff]
  return Buffer.concat([Buffer.from([0x80 | kind, ...head, 0, 0, 0, 0]), payload])
}

export const PONG = clientFrame('', 10)
export const HEARTBEAT = clientFrame('{"op":"heartbeat"}')

import net from 'node:net'
import { constants, inflateRawSync } from 'node:zlib'
import { eventually } from '@conntext/testing'

const TEXT = 1
const CLOSE = 8
const TAIL = Buffer.from([0, 0, 0xff, 0xff])

// A message is not the end of the packed stream.
const unpack = (body: Buffer): Buffer =>
  inflateRawSync(Buffer.concat([body, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })

/** A frame as it is on the wire. */
export type RawFrame = { opcode: number; packed: boolean; bytes: number; payload: Buffer }

/** A WebSocket client that sees frames as they are, and can stop reading: what one on a dead line is to the server. */
export async function openRaw(port: number, options: { query?: string; headers?: string[] } = {}) {
  const socket = net.connect(port, '127.0.0.1')
  let received = Buffer.alloc(0)
  let response: string | undefined
  const frames: RawFrame[] = []
  socket.on('error', () => {})
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data])
    const end = response === undefined ? received.indexOf('\r\n\r\n') : -1
    if (end >= 0) {
      response = received.subarray(0, end).toString()
      received = received.subarray(end + 4)
    }
    for (let frame = response && takeFrame(); frame; frame = takeFrame()) frames.push(frame)
  })

  function takeFrame(): RawFrame | undefined {
    if (received.length < 2) return undefined
    const short = received[1]! & 127
    const head = short === 127 ? 10 : short === 126 ? 4 : 2
    if (received.length < head) return undefined
    const bytes = short === 127 ? Number(received.readBigUInt64BE(2)) : short === 126 ? received.readUInt16BE(2) : short
    if (received.length < head + bytes) return undefined
    const packed = (received[0]! & 0x40) !== 0
    const body = received.subarray(head, head + bytes)
    const frame = {
      ...{ opcode: received[0]! & 15, packed, bytes },
      payload: packed ? unpack(body) : Buffer.from(body),
    }
    received = received.subarray(head + bytes)
    return frame
  }

  const lines = [
    `GET /v1/gateway${options.query ?? ''} HTTP/1.1`,
    ...['Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade'],
    ...['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'],
    ...(options.headers ?? []),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  await eventually(() => response)

  const texts = () => frames.filter(({ opcode }) => opcode === TEXT)
  const parsed = () => texts().map(({ payload }) => JSON.parse(payload.toString()))
  return {
    socket,
    frames,
    response: () => response!,
    parsed,
    /** At most 64 KiB, without a mask worth the name. */
    send(frame: object) {
      const payload = Buffer.from(JSON.stringify(frame))
      const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0])
      socket.write(Buffer.concat([head, payload]))
    },
    frame: (op: string) => eventually(() => texts().find((_, index) => parsed()[index].op === op)),
    /** With what the server has closed it, once it has been read so far. */
    code: () => eventually(() => frames.find(({ opcode }) => opcode === CLOSE)?.payload.readUInt16BE(0)),
  }
}

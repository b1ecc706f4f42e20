import { createSocket } from 'node:dgram'
import { connect, isIPv6, type Socket } from 'node:net'

/** What stands between a client that speaks UDP alone and a TCP port. */
export type Bridge = { host: string; port: number; close(): void }

type Framing = {
  frame(datagram: Buffer): Buffer
  /** How many bytes the first message takes, and which of them are it; undefined while it isn't all there. */
  next(bytes: Buffer): { taken: number; message: Buffer } | undefined
}

/** As RTP goes over TCP (RFC 4571). */
export const rfc4571: Framing = {
  frame: (datagram) => Buffer.concat([Buffer.from([datagram.length >> 8, datagram.length & 0xff]), datagram]),
  next(bytes) {
    if (bytes.length < 2) return undefined
    const taken = 2 + bytes.readUInt16BE(0)
    return bytes.length < taken ? undefined : { taken, message: bytes.subarray(2, taken) }
  },
}

/** As TURN goes over TCP (RFC 8656, 12.5): messages of known length; channel data is padded to four bytes. */
export const turn: Framing = {
  frame: (datagram) => Buffer.concat([datagram, Buffer.alloc(-datagram.length & 3)]),
  next(bytes) {
    if (bytes.length < 4) return undefined
    const isChannel = bytes[0]! >= 0x40
    const length = (isChannel ? 4 : 20) + bytes.readUInt16BE(2)
    const taken = (length + 3) & ~3
    return bytes.length < taken ? undefined : { taken, message: bytes.subarray(0, length) }
  },
}

/** Takes datagrams and brings each, framed, over a TCP connection of its sender's own. */
export async function bridge(
  to: { host: string; port: number },
  framing: Framing,
  host = '127.0.0.1',
): Promise<Bridge> {
  const udp = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const streams = new Map<string, Socket>()
  const streamOf = (port: number, from: string): Socket => {
    const key = `${from}:${port}`
    const known = streams.get(key)
    if (known) return known
    const stream = connect(to)
    streams.set(key, stream)
    let pending: Buffer = Buffer.alloc(0)
    stream.on('error', () => {})
    stream.on('data', (bytes) => {
      pending = Buffer.concat([pending, Buffer.from(bytes)])
      for (let found = framing.next(pending); found; found = framing.next(pending)) {
        udp.send(found.message, port, from)
        pending = pending.subarray(found.taken)
      }
    })
    return stream
  }
  udp.on('message', (datagram, from) => void streamOf(from.port, from.address).write(framing.frame(datagram)))
  await new Promise<void>((resolve) => udp.bind(0, host, resolve))
  return {
    host,
    port: udp.address().port,
    close() {
      for (const stream of streams.values()) stream.destroy()
      udp.close()
    },
  }
}

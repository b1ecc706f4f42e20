import { createSocket } from 'node:dgram'
import { connect as connectTcp, isIPv6 } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Address, decode, lengthOf, type StunMessage } from './stun.ts'

/** How a STUN message goes over TCP: by its own length to TURN servers, with a length before it (RFC 4571) to others. */
export type Framing = 'turn' | 'rfc4571'

export type Way = { protocol: 'udp' } | { protocol: 'tcp'; framing: Framing } | { protocol: 'tls'; serverName: string }

export type Wire = {
  send(bytes: Buffer): void
  /** Called back with every STUN message that comes. */
  heard(listener: (message: StunMessage) => void): void
  close(): void
}

/** Why nothing can be sent there, such as `ECONNREFUSED`; `timeout` where nothing was heard in time. */
export class WireError extends Error {
  constructor(readonly code: string) {
    super(code)
  }
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? 'unknown'

/** @throws WireError */
export async function openWire(to: Address, way: Way, withinMs: number): Promise<Wire> {
  return way.protocol === 'udp' ? openUdp(to) : openStream(to, way, withinMs)
}

function openUdp({ address, port }: Address): Promise<Wire> {
  const listeners = new Set<(message: StunMessage) => void>()
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  return new Promise((resolve, reject) => {
    // What the other machine refuses is not answered, which is said when the time is up.
    socket.on('error', (error) => reject(new WireError(codeOf(error))))
    socket.on('message', (bytes) => {
      const message = decode(Buffer.from(bytes))
      if (message) for (const listener of listeners) listener(message)
    })
    socket.bind(0, () =>
      resolve({
        send: (bytes) => socket.send(bytes, port, address),
        heard: (listener) => void listeners.add(listener),
        close: () => socket.close(),
      }),
    )
  })
}

function openStream(to: Address, way: Exclude<Way, { protocol: 'udp' }>, withinMs: number): Promise<Wire> {
  const listeners = new Set<(message: StunMessage) => void>()
  const prefixed = way.protocol === 'tcp' && way.framing === 'rfc4571'
  const at = { host: to.address, port: to.port }
  const socket = way.protocol === 'tls' ? connectTls({ ...at, servername: way.serverName }) : connectTcp(at)
  let pending: Buffer = Buffer.alloc(0)
  const take = (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes])
    for (;;) {
      const skip = prefixed ? 2 : 0
      if (pending.length < skip) return
      const length = prefixed ? pending.readUInt16BE(0) : lengthOf(pending)
      if (length === undefined || pending.length < skip + length) return
      const message = decode(pending.subarray(skip, skip + length))
      pending = pending.subarray(skip + length)
      if (message) for (const listener of listeners) listener(message)
    }
  }
  return new Promise((resolve, reject) => {
    const giveUp = (code: string) => {
      clearTimeout(timer)
      socket.destroy()
      reject(new WireError(code))
    }
    const timer = setTimeout(() => giveUp('timeout'), withinMs)
    socket.on('error', (error) => giveUp(codeOf(error)))
    socket.on('data', (bytes) => take(Buffer.from(bytes)))
    socket.once(way.protocol === 'tls' ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer)
      resolve({
        send: (bytes) => void socket.write(prefixed ? Buffer.concat([lengthBefore(bytes), bytes]) : bytes),
        heard: (listener) => void listeners.add(listener),
        close: () => socket.destroy(),
      })
    })
  })
}

const lengthBefore = ({ length }: Buffer): Buffer => Buffer.from([length >> 8, length & 0xff])

const RETRY_MS = 250

/**
 * Sends a request, again and again where that does no harm, until its answer comes.
 * @throws WireError `timeout`
 */
export function ask(wire: Wire, request: Buffer, withinMs: number): Promise<StunMessage> {
  const { transaction } = decode(request)!
  return new Promise((resolve, reject) => {
    const again = setInterval(() => wire.send(request), RETRY_MS)
    const done = () => {
      clearInterval(again)
      clearTimeout(timer)
    }
    const timer = setTimeout(() => {
      done()
      reject(new WireError('timeout'))
    }, withinMs)
    wire.heard((message) => {
      if (!message.transaction.equals(transaction)) return
      done()
      resolve(message)
    })
    wire.send(request)
  })
}

import { createHash, createHmac, randomBytes } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { crc32 } from 'node:zlib'

// STUN (RFC 8489), and of TURN (RFC 8656) what it takes to have something relayed.

const COOKIE = 0x2112_a442
const HEAD = 20
const FINGERPRINT_XOR = 0x5354_554e
const INTEGRITY_BYTES = 24
const FINGERPRINT_BYTES = 8

export const types = {
  binding: 0x0001,
  allocate: 0x0003,
  refresh: 0x0004,
  createPermission: 0x0008,
  sendIndication: 0x0016,
  dataIndication: 0x0017,
} as const

const attributes = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedTransport: 0x0019,
  xorMappedAddress: 0x0020,
  priority: 0x0024,
  fingerprint: 0x8028,
  iceControlling: 0x802a,
} as const
export type AttributeName = keyof typeof attributes

const nameOf = new Map<number, AttributeName>(
  (Object.keys(attributes) as AttributeName[]).map((name) => [attributes[name], name]),
)

export type Address = { address: string; port: number }

export type StunMessage = {
  type: number
  transaction: Buffer
  values: Map<AttributeName, Buffer>
}

export type Written = Partial<Record<AttributeName, Buffer>>

/** What is to be sent: with `key` it carries MESSAGE-INTEGRITY, and always a FINGERPRINT. */
export function encode(type: number, values: Written, { transaction = randomBytes(12), key }: Signing = {}): Buffer {
  const parts = (Object.entries(values) as [AttributeName, Buffer][]).map(([name, value]) => attribute(name, value))
  let message = Buffer.concat([head(type, transaction), ...parts])
  if (key) {
    // Each of the two covers what stands before it, in a message as long as if it ended with it.
    setLength(message, message.length - HEAD + INTEGRITY_BYTES)
    const digest = createHmac('sha1', key).update(message).digest()
    message = Buffer.concat([message, attribute('messageIntegrity', digest)])
  }
  setLength(message, message.length - HEAD + FINGERPRINT_BYTES)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE((crc32(message) ^ FINGERPRINT_XOR) >>> 0)
  return Buffer.concat([message, attribute('fingerprint', sum)])
}
export type Signing = { transaction?: Buffer; key?: Buffer | string }

/** Undefined for what is no STUN message, or only the beginning of one. */
export function decode(bytes: Buffer): StunMessage | undefined {
  if (bytes.length < HEAD || bytes[0]! > 3 || bytes.readUInt32BE(4) !== COOKIE) return undefined
  const end = HEAD + bytes.readUInt16BE(2)
  if (bytes.length < end) return undefined
  const values = new Map<AttributeName, Buffer>()
  for (let at = HEAD; at + 4 <= end; ) {
    const length = bytes.readUInt16BE(at + 2)
    if (at + 4 + length > end) return undefined
    const name = nameOf.get(bytes.readUInt16BE(at))
    // Of two of a kind the first counts.
    if (name && !values.has(name)) values.set(name, bytes.subarray(at + 4, at + 4 + length))
    at += 4 + padded(length)
  }
  return { type: bytes.readUInt16BE(0), transaction: bytes.subarray(8, HEAD), values }
}

/** How long the STUN message that begins here is; undefined where there is too little of it to know, or none. */
export function lengthOf(bytes: Buffer): number | undefined {
  if (bytes.length < HEAD || bytes.readUInt32BE(4) !== COOKIE) return undefined
  return HEAD + bytes.readUInt16BE(2)
}

export const isSuccess = (request: number, { type }: StunMessage): boolean => type === (request | 0x0100)

/** The error's code; undefined for what is no error. */
export function errorOf({ values }: StunMessage): number | undefined {
  const value = values.get('errorCode')
  return value && value.length >= 4 ? (value[2]! & 7) * 100 + value[3]! : undefined
}

export function addressOf({ values, transaction }: StunMessage, name: AttributeName): Address | undefined {
  const value = values.get(name)
  if (!value || value.length < 8) return undefined
  const mask = maskOf(transaction)
  const port = value.readUInt16BE(2) ^ (COOKIE >>> 16)
  const bytes = value.subarray(4).map((byte, index) => byte ^ mask[index]!)
  if (value[1] === 1) return { address: bytes.subarray(0, 4).join('.'), port }
  if (bytes.length < 16) return undefined
  const groups = Array.from({ length: 8 }, (_, index) =>
    Buffer.from(bytes)
      .readUInt16BE(index * 2)
      .toString(16),
  )
  return { address: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port }
}

export function xorAddress({ address, port }: Address, transaction: Buffer): Buffer {
  const plain = isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address)
  const mask = maskOf(transaction)
  const start = Buffer.from([0, plain.length === 4 ? 1 : 2, 0, 0])
  start.writeUInt16BE(port ^ (COOKIE >>> 16), 2)
  return Buffer.concat([start, plain.map((byte, index) => byte ^ mask[index]!)])
}

/** What a long-term credential signs with. */
export const longTermKey = (username: string, realm: string, password: string): Buffer =>
  createHash('md5').update(`${username}:${realm}:${password}`).digest()

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const padded = (length: number): number => (length + 3) & ~3

function head(type: number, transaction: Buffer): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16BE(type, 0)
  bytes.writeUInt32BE(COOKIE, 4)
  return Buffer.concat([bytes, transaction])
}

const setLength = (message: Buffer, length: number): void => void message.writeUInt16BE(length, 2)

function attribute(name: AttributeName, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + padded(value.length))
  bytes.writeUInt16BE(attributes[name], 0)
  bytes.writeUInt16BE(value.length, 2)
  value.copy(bytes, 4)
  return bytes
}

const maskOf = (transaction: Buffer): Buffer => Buffer.concat([uint32(COOKIE), transaction])

function ipv6Bytes(address: string): Buffer {
  // A URL writes all forms of an address in one.
  const [before = '', after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const [first, last] = [groups(before), after === undefined ? [] : groups(after)]
  const middle = Array<number>(8 - first.length - last.length).fill(0)
  return Buffer.from([...first, ...middle, ...last].flatMap((group) => [group >> 8, group & 0xff]))
}

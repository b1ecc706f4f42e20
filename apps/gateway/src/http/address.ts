import { isIP } from 'node:net'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i
const WITH_PORT = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/

/** The address in its plain form: no port, no brackets, IPv4 not dressed up as IPv6. Undefined if it is none. */
function plain(text: string): string | undefined {
  const match = WITH_PORT.exec(text)
  const bare = match ? (match[1] ?? match[2] ?? '') : text
  const address = MAPPED.exec(bare)?.[1] ?? bare
  return isIP(address) === 0 ? undefined : address
}

/**
 * The client's address. Behind `hops` trusted proxies, each of which has appended the address it saw, it is the one
 * that the outermost of them saw; whatever stands further left is the client's own invention.
 */
export function clientAddress(socketAddress: string | undefined, forwarded: string | null, hops: number): string {
  const direct = plain(socketAddress ?? '') ?? 'unknown'
  if (hops === 0 || forwarded === null) return direct
  const seen = forwarded.split(',')
  const chosen = seen[Math.max(0, seen.length - hops)]?.trim() ?? ''
  return plain(chosen) ?? direct
}

/** What an address is limited by: one IPv6 customer has a whole /64 to choose from. */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right]
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}

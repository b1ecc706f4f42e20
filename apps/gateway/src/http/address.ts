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

// Clients make many requests over few connections: what a socket's address looks like plainly is remembered.
const REMEMBERED = 10_000

/**
 * How a client's address is found. Behind `hops` trusted proxies, each of which has appended the address it saw, it is
 * the one that the outermost of them saw; whatever stands further left is the client's own invention.
 */
export function createAddressReader(hops: number) {
  const remembered = new Map<string, string>()

  const direct = (socketAddress: string): string => {
    const known = remembered.get(socketAddress)
    if (known !== undefined) return known
    const found = plain(socketAddress) ?? 'unknown'
    if (remembered.size >= REMEMBERED) remembered.clear()
    remembered.set(socketAddress, found)
    return found
  }

  return (socketAddress: string | undefined, headers: Headers): string => {
    const own = direct(socketAddress ?? '')
    const forwarded = hops === 0 ? null : headers.get('x-forwarded-for')
    if (forwarded === null) return own
    const seen = forwarded.split(',')
    return plain(seen[Math.max(0, seen.length - hops)]?.trim() ?? '') ?? own
  }
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

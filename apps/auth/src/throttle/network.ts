import { isIPv6 } from 'node:net'

const V4_IN_V6 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/** What one person can be taken to have: an IPv4 address, or the /64 of an IPv6 one, of which a home has 2^64. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const v4 = V4_IN_V6.exec(address)?.[1]
  if (v4) return v4
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

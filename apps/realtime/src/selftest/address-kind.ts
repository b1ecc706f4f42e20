import { BlockList, isIPv6 } from 'node:net'

export type AddressKind = 'loopback' | 'private' | 'carrier' | 'linkLocal' | 'documentation' | 'none' | 'public'

const ranges: Record<Exclude<AddressKind, 'public'>, string[]> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
  carrier: ['100.64.0.0/10'],
  linkLocal: ['169.254.0.0/16', 'fe80::/10'],
  documentation: ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'],
  none: ['0.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4', '::/128', 'ff00::/8'],
}

const lists = Object.entries(ranges).map(([kind, networks]) => {
  const list = new BlockList()
  for (const network of networks) {
    const [address, bits] = network.split('/')
    list.addSubnet(address!, Number(bits), isIPv6(address!) ? 'ipv6' : 'ipv4')
  }
  return { kind: kind as AddressKind, list }
})

/** Who can reach an IP address, by the registries of special addresses (RFC 6890). */
export const kindOf = (address: string): AddressKind =>
  lists.find(({ list }) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'))?.kind ?? 'public'

/** What an address that isn't public is, in words. */
export const IN_WORDS: Record<Exclude<AddressKind, 'public'>, string> = {
  loopback: 'only this machine itself reaches',
  private: 'only the same network reaches',
  carrier: 'is of a provider’s own network (CGNAT), which nobody reaches from outside',
  linkLocal: 'only the same cable reaches',
  documentation: 'is reserved for examples',
  none: 'is no machine’s',
}

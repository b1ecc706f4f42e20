import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { IceCandidate, TransportListenInfo } from 'mediasoup/types'

/** Where media is received, and what clients are told of it. */
export type VoiceNetwork = {
  /** The first worker's UDP and TCP port, the following are the others'; 0 for any that is free. */
  port: number
  listen: string[]
  /** Addresses, or names, by which clients reach this machine; those of its network cards unless told. */
  announced: string[]
  /** The ports that come in from outside, the first and the last, where those are not all. */
  published?: { first: number; last: number } | undefined
}

const MOST_ANNOUNCED = 8

/** All addresses of this machine that others may reach; its own where it has no other. */
export function ownAddresses(): { ipv4: string[]; ipv6: string[] } {
  const all = Object.values(networkInterfaces()).flatMap((cards) => cards ?? [])
  const of = (family: string) =>
    all
      .filter((card) => card.family === family && !card.internal && !card.address.startsWith('fe80'))
      .map((c) => c.address)
  const [ipv4, ipv6] = [of('IPv4'), of('IPv6')]
  return { ipv4: ipv4.length > 0 ? ipv4 : ['127.0.0.1'], ipv6 }
}

/** Everything of IPv4 and, where the machine has it, of IPv6. */
export const defaultListen = (): string[] => (ownAddresses().ipv6.length > 0 ? ['0.0.0.0', '::'] : ['0.0.0.0'])

/** One UDP and one TCP socket for each listen address. */
export const listenInfos = (listen: string[], port: number): TransportListenInfo[] =>
  listen.flatMap((ip) =>
    (['udp', 'tcp'] as const).map((protocol) => ({
      ...{ protocol, ip },
      ...(port === 0 ? {} : { port }),
      ...(ip === '::' ? { flags: { ipv6Only: true } } : {}),
    })),
  )

/**
 * The candidates that a client is told: of each socket one for every address by which it may be reached. mediasoup would
 * announce one, and an address that all listen on is none.
 */
export function announcedCandidates(bound: IceCandidate[], announced: string[]): IceCandidate[] {
  const own = ownAddresses()
  return bound.flatMap((candidate) => {
    const isAny = candidate.ip === '0.0.0.0' || candidate.ip === '::'
    const v6 = isIPv6(candidate.ip)
    // A name is for the client to resolve.
    const told = announced.filter((address) => isIPv6(address) === v6)
    const here = isAny ? (v6 ? own.ipv6 : own.ipv4) : [candidate.ip]
    const addresses = (told.length > 0 ? told : here).slice(0, MOST_ANNOUNCED)
    return addresses.map((address, index) => ({
      ...candidate,
      ...{ ip: address, address },
      foundation: `${candidate.foundation}${index}`,
      // Those that are told first are tried first.
      priority: candidate.priority - index,
    }))
  })
}

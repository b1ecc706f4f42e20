import { networkInterfaces } from 'node:os'
import type { VoiceFinding } from '@conntext/contracts'
import type { VoiceNetwork } from '../media/addresses.ts'
import type { Seat } from '../media/engine.ts'
import { fault, ok, warning } from './finding.ts'
import { Probe, type Reached } from './probe.ts'

const hasIt = (address: string): boolean =>
  Object.values(networkInterfaces()).some((cards) => cards?.some((card) => card.address === address))

const at = ({ address, port }: Reached): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

/** Whether a worker answers on its sockets, by itself and at each address that clients are told. */
export async function examineSockets(seat: Seat, announced: string[]): Promise<VoiceFinding[]> {
  const probe = await Probe.open(seat)
  try {
    const [own, told] = await Promise.all([
      Promise.all(probe.own().map((one) => probe.reach(one))),
      Promise.all(probe.candidates(announced).map((one) => probe.reach(one))),
    ])
    const about = `port ${own[0]?.port ?? seat.port}`
    const dead = own.filter(({ failure }) => failure !== undefined)
    if (dead.length > 0) return dead.map((one) => ofDead(about, one))
    const lost = told.filter(({ failure }) => failure !== undefined)
    if (lost.length > 0) return lost.map((one) => ofLost(about, one))
    return [ok(about, `answers over UDP and TCP at ${[...new Set(told.map(at))].join(', ')}`)]
  } finally {
    probe.close()
  }
}

const ofDead = (about: string, one: Reached): VoiceFinding =>
  fault(
    about,
    `the worker doesn't answer on this machine itself, over ${one.protocol.toUpperCase()} at ${at(one)} (${one.failure})`,
    'A packet filter of this machine is in the way, or the worker hangs: see its log, and the rules of nftables.',
  )

function ofLost(about: string, one: Reached): VoiceFinding {
  const protocol = one.protocol.toUpperCase()
  const told = `over ${protocol}, ${at(one)} is not reached from this machine (${one.failure})`
  if (hasIt(one.address)) {
    return fault(about, told, `It is this machine's own address: open ${protocol} ${one.port} in its packet filter.`)
  }
  return warning(
    about,
    `${told}. Many routers don't let a machine reach itself by its outer address (hairpin NAT): then this means nothing`,
    `Try a call from outside. If there is none: have ${protocol} ${one.port} forwarded to this machine, and let it through its firewall.`,
  )
}

/** Whether all ports are among those that come in from outside. */
export function examinePorts(ports: number[], { port, published }: VoiceNetwork): VoiceFinding[] {
  const about = 'media ports'
  if (port === 0) {
    return [
      warning(
        about,
        'any that were free, others at each start',
        'Set CONNTEXT_VOICE_PORT, so that they can be forwarded and let through.',
      ),
    ]
  }
  const outside = published ? ports.filter((one) => one < published.first || one > published.last) : []
  if (outside.length === 0) return [ok(about, `UDP and TCP ${ports.join(', ')}`)]
  return [
    fault(
      about,
      `${outside.join(', ')} is not among those that come in from outside (${published!.first}-${published!.last})`,
      'Publish more ports (CONNTEXT_VOICE_PUBLISHED_PORTS), or have fewer workers (CONNTEXT_VOICE_WORKERS).',
    ),
  ]
}

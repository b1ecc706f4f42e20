import { isIP, isIPv6 } from 'node:net'
import type { VoiceFinding } from '@conntext/contracts'
import { ownAddresses } from '../media/addresses.ts'
import type { Announced } from '../media/announced.ts'
import { type AddressKind, IN_WORDS, kindOf } from './address-kind.ts'
import { fault, ok, warning } from './finding.ts'

const ANNOUNCE =
  'Set CONNTEXT_VOICE_ANNOUNCED_ADDRESSES to what clients reach this machine by: its public address, and that of the LAN.'
const ABOUT = 'announced addresses'

/** What there is to say of the addresses that clients are told, by themselves. */
export function examineAddresses(announced: Announced, listen: string[], hasRelay: boolean): VoiceFinding[] {
  const { told, unknown } = announced
  const used = told.length > 0 ? announced.addresses.filter((one) => isIP(one) !== 0) : ownOf(listen)
  const findings = [
    ...unknown.map((name) =>
      fault(ABOUT, `${name} has no address`, 'Correct the name in CONNTEXT_VOICE_ANNOUNCED_ADDRESSES, or its DNS.'),
    ),
    ...used.flatMap((address) => ofOne(address, listen)),
  ]
  const kinds = new Set(used.map(kindOf))
  if (kinds.has('public')) return findings.length > 0 ? findings : [ok(ABOUT, used.join(', '))]
  return [...findings, ofNonePublic(used, { isSet: told.length > 0, hasRelay })]
}

function ofOne(address: string, listen: string[]): VoiceFinding[] {
  const kind = kindOf(address)
  const family = isIPv6(address) ? 'IPv6' : 'IPv4'
  if (!listen.some((one) => isIPv6(one) === isIPv6(address))) {
    return [
      fault(
        ABOUT,
        `${address} is told to nobody: nothing listens on ${family}`,
        `Add ${family === 'IPv6' ? '::' : '0.0.0.0'} to CONNTEXT_VOICE_LISTEN_ADDRESSES, or take it out.`,
      ),
    ]
  }
  if (kind === 'none' || kind === 'linkLocal') return [fault(ABOUT, inWords(address, kind), ANNOUNCE)]
  return []
}

function ofNonePublic(used: string[], { isSet, hasRelay }: { isSet: boolean; hasRelay: boolean }): VoiceFinding {
  if (used.length === 0) return fault(ABOUT, 'clients are told of none', ANNOUNCE)
  const told = `none is public: ${used.map((one) => inWords(one, kindOf(one))).join('; ')}`
  const onlyHere = used.every((one) => kindOf(one) === 'loopback')
  if (onlyHere) return fault(ABOUT, told, ANNOUNCE)
  const relay = hasRelay ? ' Who is elsewhere is left with the relay.' : ''
  const container = isSet ? '' : ' In a container these are the container’s, and nobody’s to reach.'
  return warning(ABOUT, `${told}.${container}${relay}`, `Right where all are in that network. Else: ${ANNOUNCE}`)
}

const inWords = (address: string, kind: AddressKind): string =>
  kind === 'public' ? address : `${address} ${IN_WORDS[kind]}`

/** What is told where nothing is set. */
function ownOf(listen: string[]): string[] {
  const own = ownAddresses()
  return listen.flatMap((one) => (one === '0.0.0.0' ? own.ipv4 : one === '::' ? own.ipv6 : [one]))
}

import { isIP, isIPv6 } from 'node:net'
import type { VoiceFinding } from '@conntext/contracts'
import type { IceConfig } from '../ice/servers.ts'
import { turnCredentials } from '../ice/servers.ts'
import type { Lookup } from '../media/announced.ts'
import type { Seat } from '../media/engine.ts'
import { IN_WORDS, kindOf } from './address-kind.ts'
import { fault, ok, warning } from './finding.ts'
import { Probe } from './probe.ts'
import type { Address } from './stun.ts'
import { openRelay, type Relay, TurnRefused } from './turn.ts'
import { type Way, WireError } from './wire.ts'

const WITHIN_MS = 2_000
const YEARS_S = 10 * 365 * 86_400
const PORTS = { turn: 3478, turns: 5349 } as const
const WHO = 'selftest'

const UNAUTHENTICATED = 401
const FORBIDDEN = 403
const QUOTA = 486
const FULL = 508

type Turn = NonNullable<IceConfig['turn']>
export type TurnServer = { host: string; port: number; way: Way | undefined }

/** Of a URL that the settings have let through. A relay over DTLS can't be asked from here: no way. */
export function parseTurnUrl(url: string): TurnServer {
  const [, scheme, host, port, transport] = /^(turns?):(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(udp|tcp))?$/.exec(
    url,
  )!
  const name = host!.replace(/^\[|\]$/g, '')
  const secure = scheme === 'turns'
  const ways: Record<string, Way | undefined> = {
    'turn:udp': { protocol: 'udp' },
    'turn:tcp': { protocol: 'tcp', framing: 'turn' },
    'turns:tcp': { protocol: 'tls', serverName: name },
    'turns:udp': undefined,
  }
  const way = ways[`${scheme}:${transport ?? (secure ? 'tcp' : 'udp')}`]
  return { host: name, port: port ? Number(port) : PORTS[secure ? 'turns' : 'turn'], way }
}

type Deps = { ice: IceConfig; seat: Seat | undefined; announced: string[]; lookup: Lookup; now: Date }

/** Whether clients get a relay, and whether it gets to us. */
export async function examineRelays(deps: Deps): Promise<VoiceFinding[]> {
  const { turn, policy } = deps.ice
  if (!turn) {
    return [
      ok('relay', 'none is set up (CONNTEXT_TURN_URLS): who reaches neither the UDP nor the TCP port has no calls'),
    ]
  }
  const found = await Promise.all(turn.urls.map((url) => examineRelay(url, turn, deps)))
  const only = policy === 'relay' ? [ok('relay', 'all media goes by it (CONNTEXT_ICE_POLICY)')] : []
  return [...found.flat(), ...only]
}

async function examineRelay(url: string, turn: Turn, deps: Deps): Promise<VoiceFinding[]> {
  const about = `relay ${url}`
  const { host, port, way } = parseTurnUrl(url)
  const addresses = isIP(host) ? [host] : await deps.lookup(host).catch(() => [])
  const [address] = addresses
  if (!address) return [fault(about, `${host} has no address`, 'Correct the name in CONNTEXT_TURN_URLS, or its DNS.')]
  const nearby = ofNearby(about, address)
  if (!way) return [...nearby, ok(about, 'not asked: clients reach it over DTLS, which this test doesn’t speak')]
  try {
    const login = turnCredentials(turn, WHO, deps.now)
    const relay = await openRelay({ address, port }, way, login, WITHIN_MS)
    try {
      return [...nearby, ...ofMapped(about, relay, deps.announced), await ofPassage(about, relay, deps)]
    } finally {
      await relay.close()
    }
  } catch (error) {
    return [...nearby, await ofFailure(error, { about, to: { address, port }, way, turn, now: deps.now })]
  }
}

function ofNearby(about: string, address: string): VoiceFinding[] {
  const kind = kindOf(address)
  if (kind === 'public') return []
  const remedy =
    'Right where all clients are there too. Else name it in CONNTEXT_TURN_URLS as it is reached from outside.'
  return [warning(about, `its address ${address} ${IN_WORDS[kind]}`, remedy)]
}

/** A public address that a relay elsewhere sees us by is one that clients could reach us by. */
function ofMapped(about: string, { mapped }: Relay, announced: string[]): VoiceFinding[] {
  if (!mapped || kindOf(mapped.address) !== 'public' || announced.includes(mapped.address)) return []
  return [
    warning(
      about,
      `sees this machine as ${mapped.address}, which clients aren't told`,
      `Add it to CONNTEXT_VOICE_ANNOUNCED_ADDRESSES, and have the media ports forwarded, if the way in is the same.`,
    ),
  ]
}

async function ofPassage(about: string, relay: Relay, { seat, announced }: Deps): Promise<VoiceFinding> {
  if (!seat)
    return warning(about, 'gives relays; whether they get here is not known: there is no media worker', 'See above.')
  const probe = await Probe.open(seat)
  try {
    const family = isIPv6(relay.relayed.address)
    const peer = probe
      .candidates(announced)
      .find(({ protocol, address }) => protocol === 'udp' && isIP(address) !== 0 && isIPv6(address) === family)
    if (!peer) {
      return fault(
        about,
        `relays ${family ? 'IPv6' : 'IPv4'}, of which no address is announced`,
        'Announce one, or have it relay the other.',
      )
    }
    const where = `${peer.address}:${peer.port}`
    try {
      await relay.ask(peer, probe.request())
      return ok(about, `gives relays, which get to ${where}`)
    } catch (error) {
      return ofBlocked(about, error, peer)
    }
  } finally {
    probe.close()
  }
}

function ofBlocked(about: string, error: unknown, { address, port }: Address): VoiceFinding {
  if (error instanceof TurnRefused && error.code === FORBIDDEN) {
    return fault(
      about,
      `refuses to relay to ${address}`,
      `coturn keeps private networks out (denied-peer-ip): let this one address through by allowed-peer-ip=${address}.`,
    )
  }
  if (error instanceof TurnRefused) return fault(about, `refuses to relay (${error.code})`, 'See its log.')
  if (!(error instanceof WireError)) throw error
  return fault(
    about,
    `what it relays doesn't get to ${address}:${port}`,
    `Let UDP ${port} through from the relay. Where both are behind one router, announce the address of their own network as well.`,
  )
}

type Failed = { about: string; to: Address; way: Way; turn: Turn; now: Date }

async function ofFailure(error: unknown, failed: Failed): Promise<VoiceFinding> {
  const { about, to } = failed
  if (error instanceof TurnRefused) return ofRefused(error.code, failed)
  const { code = 'unknown' } = error as { code?: string }
  const why = code === 'timeout' ? 'nothing answers' : code
  const where = `${to.address}:${to.port}`
  return fault(
    about,
    `is not reached at ${where} (${why})`,
    'Start it, and let its port through; or correct CONNTEXT_TURN_URLS.',
  )
}

async function ofRefused(code: number, failed: Failed): Promise<VoiceFinding> {
  const { about, turn } = failed
  if (code === QUOTA || code === FULL) {
    return warning(
      about,
      `has no relay left (${code})`,
      'Raise its total-quota, and the range of min-port to max-port.',
    )
  }
  if (code !== UNAUTHENTICATED) return fault(about, `refuses to give a relay (${code})`, 'See its log.')
  if (await isForTheClock(failed)) {
    return fault(
      about,
      `takes our credentials for expired: its clock is ${turn.ttlSeconds} s or more ahead of this one's`,
      'Have both clocks kept by NTP.',
    )
  }
  return fault(
    about,
    'refuses our credentials',
    'Give it the value of CONNTEXT_TURN_SECRET as static-auth-secret, with use-auth-secret.',
  )
}

/** Credentials for years end at once on no clock: where they are taken, only the time was wrong. */
async function isForTheClock({ to, way, turn, now }: Failed): Promise<boolean> {
  const login = turnCredentials({ secret: turn.secret, ttlSeconds: YEARS_S }, WHO, now)
  try {
    await (await openRelay(to, way, login, WITHIN_MS)).close()
    return true
  } catch {
    return false
  }
}

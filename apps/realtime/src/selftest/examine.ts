import type { VoiceFinding } from '@conntext/contracts'
import type { IceConfig } from '../ice/servers.ts'
import type { VoiceNetwork } from '../media/addresses.ts'
import type { Announced, Lookup } from '../media/announced.ts'
import { systemLookup } from '../media/announced.ts'
import type { Engine, Seat } from '../media/engine.ts'
import { voiceStatus } from '../status/service.ts'
import type { WorkerSupervisor } from '../worker/supervisor.ts'
import { examineAddresses } from './addresses.ts'
import { fault, ok, warning } from './finding.ts'
import { examineRelays } from './relay.ts'
import { examinePorts, examineSockets } from './sockets.ts'

export type SelfTestDeps = {
  supervisor: WorkerSupervisor
  engine: Engine
  network: VoiceNetwork
  announced: Announced
  ice: IceConfig
  now(): Date
  lookup?: Lookup | undefined
}

// Each takes as many sockets as it has addresses.
const AT_ONCE = 8

/** Looks at all that media needs to get here, as far as it can be seen from this machine. */
export async function examineVoice(deps: SelfTestDeps): Promise<VoiceFinding[]> {
  const { supervisor, engine, network, announced, ice, now, lookup = systemLookup } = deps
  await announced.refresh()
  const addresses = announced.addresses
  const seats = engine.seats()
  const relays = examineRelays({ ice, seat: seats[0], announced: addresses, lookup, now: now() })
  const sockets: VoiceFinding[] = []
  for (let from = 0; from < seats.length; from += AT_ONCE) {
    const some = seats.slice(from, from + AT_ONCE).map((seat) => examineSeat(seat, addresses))
    sockets.push(...(await Promise.all(some)).flat())
  }
  const ports = seats.map(({ port }) => port)
  return [
    ofWorkers(supervisor, engine),
    ...examineAddresses(announced, network.listen, ice.turn !== undefined),
    ...(seats.length > 0 ? examinePorts(ports, network) : []),
    ...sockets,
    ...(await relays),
  ]
}

async function examineSeat(seat: Seat, announced: string[]): Promise<VoiceFinding[]> {
  try {
    return await examineSockets(seat, announced)
  } catch (error) {
    if (!seat.worker.closed) throw error
    return [warning(`port ${seat.port}`, 'the worker died meanwhile, and another takes its place', 'Test again.')]
  }
}

function ofWorkers(supervisor: WorkerSupervisor, engine: Engine): VoiceFinding {
  const about = 'media workers'
  const { state, reason, remedy, workers } = voiceStatus(supervisor, engine)
  if (state === 'on') return ok(about, `${workers} up`)
  if (state === 'starting') return warning(about, reason ?? 'are being started', remedy ?? 'Test again in a moment.')
  if (state === 'off' && reason === null) {
    return warning(about, 'voice is switched off', 'Set CONNTEXT_VOICE_WORKERS above 0, if calls are wanted.')
  }
  return fault(about, reason ?? `only ${workers} up`, remedy ?? 'See the log.')
}

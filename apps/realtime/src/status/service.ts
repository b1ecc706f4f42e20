import type { VoiceStatus } from '@conntext/contracts'
import type { Probe } from '@conntext/http'
import type { Engine } from '../media/engine.ts'
import type { WorkerSupervisor } from '../worker/supervisor.ts'

const PORTS_REMEDY = 'Free the port, or choose others by CONNTEXT_VOICE_PORT and CONNTEXT_VOICE_LISTEN_ADDRESSES.'

export function voiceStatus(supervisor: WorkerSupervisor, engine: Pick<Engine, 'fault' | 'seats'>): VoiceStatus {
  const { state, reason = null, remedy = null, workers } = supervisor.status()
  const { fault } = engine
  if (fault === undefined || state === 'off') {
    // Up, but the sockets aren't open yet.
    const opening = state === 'on' && engine.seats().length < workers.length
    return { state: opening ? 'starting' : state, reason, remedy, workers: workers.length }
  }
  return { state: 'degraded', reason: fault, remedy: PORTS_REMEDY, workers: workers.length }
}

/** Asks every worker that is up for its resource usage: one that hangs is found out. */
export const workersProbe = (supervisor: WorkerSupervisor, engine: Pick<Engine, 'fault' | 'seats'>): Probe => ({
  name: 'mediasoup workers',
  // Without voice the rest of the server runs.
  critical: false,
  remedy: 'See the log of the realtime service.',
  async run() {
    await Promise.all(supervisor.workers().map((worker) => worker.getResourceUsage()))
    const { state, reason, remedy } = voiceStatus(supervisor, engine)
    if (state === 'on') return undefined
    return {
      state: state === 'off' ? 'down' : 'degraded',
      detail: reason ?? `Voice is ${state}.`,
      ...(remedy === null ? {} : { remedy }),
    }
  },
})

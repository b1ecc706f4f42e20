import type { VoiceStatus } from '@conntext/contracts'
import type { Probe } from '@conntext/http'
import type { WorkerSupervisor } from '../worker/supervisor.ts'

export function voiceStatus(supervisor: WorkerSupervisor): VoiceStatus {
  const { state, reason = null, remedy = null, workers } = supervisor.status()
  return { state, reason, remedy, workers: workers.length }
}

/** Asks every worker that is up for its resource usage: one that hangs is found out. */
export const workersProbe = (supervisor: WorkerSupervisor): Probe => ({
  name: 'mediasoup workers',
  // Without voice the rest of the server runs.
  critical: false,
  remedy: 'See the log of the realtime service.',
  async run() {
    await Promise.all(supervisor.workers().map((worker) => worker.getResourceUsage()))
    const { state, reason, remedy } = supervisor.status()
    if (state === 'on') return undefined
    return {
      state: state === 'off' ? 'down' : 'degraded',
      detail: reason ?? `Voice is ${state}.`,
      ...(remedy === undefined ? {} : { remedy }),
    }
  },
})

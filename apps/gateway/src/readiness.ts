import type { Bus } from '@conntext/bus'
import type { AuthPort, HealthState, MessagingPort, RealtimePort, SystemPort } from '@conntext/contracts'
import { answerWithin } from '@conntext/kernel'

const FRESH_MS = 1_000
const TIMEOUT_MS = 3_000

export type HealthPorts = {
  auth: Pick<AuthPort, 'health'>
  system: Pick<SystemPort, 'health'>
  messaging: Pick<MessagingPort, 'health'>
  realtime: Pick<RealtimePort, 'health'>
}
/** A service that has been there may be away for `patienceMs`: what is asked meanwhile waits for it. */
export type ReadinessOptions = { isDraining(): boolean; patienceMs: number }
export type Readiness = { ready: boolean; parts: Record<string, HealthState> }

// Voice may be off or away: people can still talk in writing. Without the bus events come late, by reconciling.
const NOT_NEEDED = new Set(['realtime', 'bus'])

/**
 * Whether the gateway can serve: asks every service for its health, at most once a second however often it is asked.
 * Tells states alone: what exactly is wrong is for administrators, at `/v1/system/health`.
 */
export function createReadiness(
  ports: HealthPorts,
  bus: Bus,
  { isDraining, patienceMs }: ReadinessOptions,
): () => Promise<Readiness> {
  const wellAt = new Map<string, number>()
  let last: { at: number; result: Promise<Readiness> } | undefined

  const examine = async (): Promise<Readiness> => {
    const probes: [string, () => Promise<HealthState>][] = [
      ...(Object.entries(ports) as [string, HealthPorts['auth']][]).map(
        ([name, port]) => [name, async () => (await port.health({})).state] as [string, () => Promise<HealthState>],
      ),
      ['bus', async () => bus.check().then(() => 'up' as const)],
    ]
    const states = await Promise.all(
      probes.map(
        async ([name, run]) => [name, await answerWithin(TIMEOUT_MS, run).catch(() => 'down' as const)] as const,
      ),
    )
    const now = performance.now()
    for (const [name, state] of states) if (state !== 'down') wellAt.set(name, now)
    const isShort = (name: string) => now - (wellAt.get(name) ?? Number.NEGATIVE_INFINITY) < patienceMs
    const ready = states.every(([name, state]) => state !== 'down' || NOT_NEEDED.has(name) || isShort(name))
    return { ready, parts: Object.fromEntries(states) }
  }

  return async () => {
    const now = performance.now()
    if (!last || now - last.at > FRESH_MS) last = { at: now, result: examine() }
    const found = await last.result
    return isDraining() ? { ...found, ready: false } : found
  }
}

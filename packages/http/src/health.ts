import type { DependencyHealth, HealthState, SchemaVersion, ServiceHealth } from '@conntext/contracts'
import { answerWithin, type Clock, reportError, systemClock } from '@conntext/kernel'

const PROBE_TIMEOUT_MS = 3_000
// What can be done without must not make whoever asks for all of it wait for so long that the whole counts as away.
const NOT_CRITICAL = 0.5

/** Something is not quite right, though the dependency answers. */
export type ProbeResult = { state: HealthState; detail?: string; remedy?: string }

/** How one dependency is tried. */
export type Probe = {
  name: string
  /** Uses the dependency for real; throws when it doesn't work. May answer a detail for a state that is not `up`. */
  run(): Promise<undefined | ProbeResult>
  /** Whether the service can't do its job without it; otherwise it is degraded. */
  critical: boolean
  /** What an administrator should do when it is away. */
  remedy: string
}

/** How far a database's schema is: how many migrations this release has, and how many were applied. */
export type SchemaCount = { expected: number; applied(): Promise<number> }

const SCHEMAS_EVERY_MS = 15_000

/** Adds how far the schemas are of the databases that a service answers for. */
export function withSchemas(
  health: () => Promise<ServiceHealth>,
  counts: Partial<Record<SchemaVersion['database'], SchemaCount>>,
): () => Promise<ServiceHealth> {
  let last: { at: number; found: Promise<SchemaVersion[]> } | undefined
  const look = async ([name, { expected, applied }]: [string, SchemaCount]): Promise<SchemaVersion> => {
    const database = name as SchemaVersion['database']
    // Why it can't be asked, its own probe tells.
    return {
      database,
      applied: await answerWithin(PROBE_TIMEOUT_MS * NOT_CRITICAL, applied).catch(() => null),
      expected,
    }
  }
  const schemas = () => {
    if (!last || performance.now() - last.at > SCHEMAS_EVERY_MS) {
      last = { at: performance.now(), found: Promise.all(Object.entries(counts).map(look)) }
    }
    return last.found
  }
  return async () => {
    const [found, versions] = await Promise.all([health(), schemas()])
    return { ...found, schemas: versions }
  }
}

/** Tries every dependency at once, each in bounded time, and remembers since when it has been as it is. */
export function createHealth(
  service: string,
  probes: Probe[],
  clock: Clock = systemClock,
  { timeoutMs = PROBE_TIMEOUT_MS } = {},
): () => Promise<ServiceHealth> {
  const since = new Map<string, { state: HealthState; at: string }>()

  const examine = async (probe: Probe): Promise<DependencyHealth> => {
    const started = performance.now()
    const found = await answerWithin(probe.critical ? timeoutMs : timeoutMs * NOT_CRITICAL, () => probe.run()).catch(
      (error: unknown) => ({
        state: 'down' as const,
        detail: error instanceof Error ? reportError(error).message : String(error),
        remedy: probe.remedy,
      }),
    )
    const state = found?.state ?? 'up'
    const known = since.get(probe.name)
    const at = known?.state === state ? known.at : clock.now().toISOString()
    since.set(probe.name, { state, at })
    return {
      name: probe.name,
      state,
      latencyMs: state === 'down' ? null : Math.round((performance.now() - started) * 10) / 10,
      since: at,
      detail: found?.detail ?? null,
      remedy: found?.remedy ?? null,
    }
  }

  return async () => {
    const dependencies = await Promise.all(probes.map(examine))
    const failing = dependencies.filter((one) => one.state !== 'up')
    const down = failing.some((one) => one.state === 'down' && probes.find((p) => p.name === one.name)?.critical)
    return { service, state: down ? 'down' : failing.length > 0 ? 'degraded' : 'up', dependencies }
  }
}

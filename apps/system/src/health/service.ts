import type {
  AuthPort,
  HealthState,
  MessagingPort,
  RealtimePort,
  ServiceHealth,
  SystemHealth,
} from '@conntext/contracts'
import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { createHealth, type Probe, type ProbeResult } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { outboxState } from './queries.ts'

const OUTBOX_LATE_MS = 60_000
// Longer than a service gives each of its own dependencies.
const PORT_TIMEOUT_MS = 5_000

type OwnDeps = { db: ServerDetails; audit: Audit; clock: Clock }

/** This service's own health: the audit database may be away for a while, since the outbox keeps what it is owed. */
export function createOwnHealth({ db, audit, clock }: OwnDeps): () => Promise<ServiceHealth> {
  const postgres: Probe = {
    name: 'postgres',
    critical: true,
    remedy: 'Start Postgres, or check the address and the password of the Server Details database.',
    run: async () => void (await db.check()),
  }
  const clickhouse: Probe = {
    name: 'clickhouse',
    critical: false,
    remedy: 'Start ClickHouse, or check its address and password. Audit events are kept until it is back.',
    run: async () => void (await audit.check()),
  }
  const outbox: Probe = {
    name: 'outbox',
    critical: false,
    remedy: 'The outbox is a table in the Server Details database: see to that one.',
    run: () => examineOutbox(db, clock),
  }
  return createHealth('system', [postgres, clickhouse, outbox], clock)
}

async function examineOutbox(db: ServerDetails, clock: Clock): Promise<ProbeResult | undefined> {
  const { waitingSince, refused } = await outboxState(db)
  const ageMs = waitingSince ? clock.now().getTime() - waitingSince.getTime() : 0
  if (ageMs > OUTBOX_LATE_MS) {
    return {
      state: 'degraded',
      detail: `What this service owes to others has been waiting for ${Math.round(ageMs / 1000)} s.`,
      remedy: 'See whether ClickHouse and the messaging service are up; the log says why deliveries fail.',
    }
  }
  if (refused === 0) return undefined
  return {
    state: 'degraded',
    detail: `Set aside, because their receiver refused them: ${refused} of what this service owes.`,
    remedy: 'The log and system_outbox.refused_with say why; set refusals to 0 to have them tried again.',
  }
}

export type HealthPorts = {
  auth: Pick<AuthPort, 'health'>
  messaging: Pick<MessagingPort, 'health'>
  realtime: Pick<RealtimePort, 'health'>
}

/**
 * Examines all services; one that doesn't answer is down. The whole is as well as its worst part.
 */
export function createSystemHealth(
  own: () => Promise<ServiceHealth>,
  ports: HealthPorts,
  clock: Clock,
): () => Promise<SystemHealth> {
  const downSince = new Map<string, string>()
  const examine = async ([service, port]: [string, Pick<AuthPort, 'health'>]): Promise<ServiceHealth> => {
    try {
      const health = await answered(() => port.health({}))
      downSince.delete(service)
      return health
    } catch (error) {
      const since = downSince.get(service) ?? clock.now().toISOString()
      downSince.set(service, since)
      return unreachable(service, error, since)
    }
  }
  return async () => {
    const services = await Promise.all([own(), ...Object.entries(ports).map(examine)])
    return { state: worst(services.map((one) => one.state)), services }
  }
}

const worst = (states: HealthState[]): HealthState =>
  states.includes('down') ? 'down' : states.includes('degraded') ? 'degraded' : 'up'

async function answered<T>(ask: () => Promise<T>): Promise<T> {
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PORT_TIMEOUT_MS / 1000} s`)), PORT_TIMEOUT_MS)
  })
  try {
    return await Promise.race([ask(), late])
  } finally {
    clearTimeout(timer)
  }
}

function unreachable(service: string, error: unknown, since: string): ServiceHealth {
  const dependency = {
    name: 'service',
    state: 'down' as const,
    latencyMs: null,
    since,
    detail: error instanceof Error ? error.message : String(error),
    remedy: `Start the ${service} service, or see its log for why it doesn't answer.`,
  }
  return { service, state: 'down', dependencies: [dependency] }
}

import type { Bus } from '@conntext/bus'
import type {
  AuthPort,
  HealthState,
  MessagingPort,
  RealtimePort,
  ServiceHealth,
  SystemHealth,
} from '@conntext/contracts'
import type { KnownTime } from '@conntext/database'
import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import {
  busProbe,
  clockDoubtProbe,
  createHealth,
  outboxProbe,
  type Probe,
  type Processes,
  postgresProbe,
} from '@conntext/http'
import { answerWithin, type Clock } from '@conntext/kernel'
import type { OutboxRelay } from '@conntext/outbox'
import type { LogStore } from '../logs/store.ts'
import { clickHouseDisk, clocks, directoryDisk, logsProbe, processesProbe } from './probes.ts'

// Longer than a service gives each of its own dependencies.
const PORT_TIMEOUT_MS = 5_000

type OwnDeps = {
  db: ServerDetails
  audit: Audit
  bus: Bus
  relay: OutboxRelay
  clock: Clock
  logs: LogStore
  processes: Processes
  /** Where the data is, where that is this process's. */
  dataDirectory?: string | undefined
  backups: Probe
  knownTime: KnownTime
}

/** This service's own health: the audit database may be away for a while, since the outbox keeps what it is owed. */
export function createOwnHealth(deps: OwnDeps): () => Promise<ServiceHealth> {
  const { db, audit, bus, relay, clock, logs, processes, dataDirectory } = deps
  const clickhouse: Probe = {
    name: 'clickhouse',
    critical: false,
    remedy: 'Start ClickHouse, or check its address and password. Audit events are kept until it is back.',
    run: async () => void (await audit.check()),
  }
  const receivers = 'ClickHouse and the messaging service'
  const outbox = outboxProbe({ lag: () => relay.lag(), clock, table: 'system_outbox', receivers })
  const probes = [
    postgresProbe(db, 'Server Details'),
    clickhouse,
    outbox,
    busProbe(bus),
    clocks(deps),
    clockDoubtProbe(() => deps.knownTime.look()),
    clickHouseDisk(audit),
    logsProbe(logs),
    processesProbe(processes),
    deps.backups,
    ...(dataDirectory === undefined ? [] : [directoryDisk(dataDirectory)]),
  ]
  return createHealth('system', probes, clock)
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
      const health = await answerWithin(PORT_TIMEOUT_MS, () => port.health({}))
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

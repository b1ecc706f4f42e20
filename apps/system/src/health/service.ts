import type { Bus } from '@conntext/bus'
import type {
  AuthPort,
  HealthState,
  MessagingPort,
  RealtimePort,
  ServiceHealth,
  SystemHealth,
} from '@conntext/contracts'
import { appliedMigrations, type KnownTime } from '@conntext/database'
import { type Audit, appliedAuditMigrations, auditMigrations } from '@conntext/db-audit'
import { knownServerDetailsMigrations, type ServerDetails } from '@conntext/db-server-details'
import {
  busProbe,
  clockDoubtProbe,
  createHealth,
  outboxProbe,
  type Probe,
  type Processes,
  postgresProbe,
  withSchemas,
} from '@conntext/http'
import { answerWithin, type Clock, gauge } from '@conntext/kernel'
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
  /** Of the audit log. */
  chain: Probe[]
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
    ...deps.chain,
    ...(dataDirectory === undefined ? [] : [directoryDisk(dataDirectory)]),
  ]
  return withSchemas(createHealth('system', probes, clock), {
    server_details: {
      expected: knownServerDetailsMigrations().length,
      applied: () => appliedMigrations(db),
    },
    audit: { expected: auditMigrations.length, applied: () => appliedAuditMigrations(audit) },
  })
}

const VALUES: Record<HealthState, number> = { up: 0, degraded: 1, down: 2 }
const states = gauge('conntext_dependency_state', 'What services need, when last looked at: 0 up, 1 degraded, 2 down', [
  'service',
  'dependency',
])

export type SystemExamination = {
  look(): Promise<SystemHealth>
  /** Has what was found last counted; answers how to end it. */
  count(): () => void
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
  { clock, version }: { clock: Clock; version: string },
): SystemExamination {
  const downSince = new Map<string, string>()
  let last: SystemHealth | undefined
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
  return {
    async look() {
      const services = await Promise.all([own(), ...Object.entries(ports).map(examine)])
      const state = worst(services.map((one) => one.state))
      const now = clock.now()
      const since = last?.state === state ? last.since : now.toISOString()
      const startedAt = new Date(now.getTime() - performance.now()).toISOString()
      last = { state, since, version, startedAt, uptimeSeconds: Math.floor(performance.now() / 1000), services }
      return last
    },
    count: () => states.from(() => (last?.services ?? []).flatMap(samples)),
  }
}

const samples = ({ service, dependencies }: ServiceHealth): [number, string, string][] =>
  dependencies.map(({ name, state }) => [VALUES[state], service, name])

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

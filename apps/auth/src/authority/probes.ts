import type { ServerDetails } from '@conntext/db-server-details'
import type { Probe, ProbeResult } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { OutboxRelay } from '@conntext/outbox'

const OUTBOX_LATE_MS = 60_000

/** What this service's health depends on: its database, and that what it owes to system gets there. */
export const probes = (db: ServerDetails, relay: OutboxRelay, clock: Clock): Probe[] => [
  {
    name: 'postgres',
    critical: true,
    remedy: 'Start Postgres, or check the address and the password of the Server Details database.',
    run: async () => void (await db.check()),
  },
  {
    name: 'outbox',
    critical: false,
    remedy: 'The outbox is a table in the Server Details database: see to that one.',
    run: () => examineOutbox(relay, clock),
  },
]

async function examineOutbox(relay: OutboxRelay, clock: Clock): Promise<ProbeResult | undefined> {
  const owed = await relay.lag()
  const waiting = owed.flatMap(({ oldest }) => (oldest === null ? [] : [Date.parse(oldest)]))
  const ageMs = clock.now().getTime() - Math.min(...waiting)
  if (waiting.length === 0 || ageMs <= OUTBOX_LATE_MS) return undefined
  return {
    state: 'degraded',
    detail: `What this service owes to system has been waiting for ${Math.round(ageMs / 1000)} s.`,
    remedy: 'See whether the system service is up. The log, and auth_outbox.refused_with, say what it refuses.',
  }
}

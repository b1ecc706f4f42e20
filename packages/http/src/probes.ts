import type { Clock } from '@conntext/kernel'
import type { Probe } from './health.ts'

const LATE_MS = 60_000

export type OutboxProbeOptions = {
  /** What is owed, as the outbox's relay tells it: what waits since when, and how many rows were refused. */
  lag(): Promise<{ oldest: string | null; refused: number }[]>
  clock: Clock
  /** The outbox's table. */
  table: string
  /** Who has to be up for it to be delivered, for a sentence. */
  receivers: string
}

/** Tries the service's database; `database` is its name, for a sentence. */
export const postgresProbe = (db: { check(): Promise<void> }, database: string): Probe => ({
  name: 'postgres',
  critical: true,
  remedy: `Start Postgres, or check the address and the password of the ${database} database.`,
  async run() {
    await db.check()
    return undefined
  },
})

/** Looks whether what the service owes to others gets there: late, or refused, makes it degraded. */
export const outboxProbe = ({ lag, clock, table, receivers }: OutboxProbeOptions): Probe => ({
  name: 'outbox',
  critical: false,
  remedy: `The outbox is the table ${table} in the service's own database: see to that one.`,
  async run() {
    const owed = await lag()
    const waiting = owed.flatMap(({ oldest }) => (oldest === null ? [] : [Date.parse(oldest)]))
    const ageMs = waiting.length === 0 ? 0 : clock.now().getTime() - Math.min(...waiting)
    if (ageMs > LATE_MS) {
      return {
        state: 'degraded',
        detail: `What this service owes to others has been waiting for ${Math.round(ageMs / 1000)} s.`,
        remedy: `See whether ${receivers} can be reached; the log says why deliveries fail.`,
      }
    }
    const refused = owed.reduce((all, topic) => all + topic.refused, 0)
    if (refused === 0) return undefined
    return {
      state: 'degraded',
      detail: `Set aside, because their receiver refused them: ${refused} of what this service owes.`,
      remedy: `The log and ${table}.refused_with say why; set refusals to 0 to have them tried again.`,
    }
  },
})

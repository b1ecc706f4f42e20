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

/**
 * Tries the service's database; `database` is its name, for a sentence. One whose disk is full answers whoever reads, and
 * refuses whoever writes.
 */
export const postgresProbe = (db: { check(): Promise<void>; wasFullLately(): boolean }, database: string): Probe => ({
  name: 'postgres',
  critical: true,
  remedy: `Start Postgres, or check the address and the password of the ${database} database.`,
  async run() {
    await db.check()
    if (!db.wasFullLately()) return undefined
    return {
      state: 'degraded',
      detail: 'Nothing can be written: its disk is full.',
      remedy: `Make room on the disk of the ${database} database. It goes on by itself then; nothing acknowledged is lost.`,
    }
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
      remedy: `The log and ${table}.refused_with say why. They are kept, and tried again at the next start of the service, or once refusals is set to 0.`,
    }
  },
})

/** Tries whether messages go through. Without the bus events come late, and what is remembered is forgotten by its age. */
export const busProbe = (bus: { check(): Promise<void> }): Probe => ({
  name: 'bus',
  critical: false,
  remedy: 'Start Redis, or check its address and password. Until then events come seconds late.',
  async run() {
    await bus.check()
    return undefined
  },
})

/** The same probe, tried at most so often; in between its last result holds. For what costs something to try. */
export function seldom(probe: Probe, everyMs: number): Probe {
  let last: { at: number; found: ReturnType<Probe['run']> } | undefined
  return {
    ...probe,
    run() {
      if (!last || performance.now() - last.at > everyMs) {
        last = { at: performance.now(), found: probe.run() }
        // Whoever waits for it is told; nobody may be.
        last.found.catch(() => {})
      }
      return last.found
    },
  }
}

const MOST_SKEW_MS = 2_000

/**
 * Compares clocks: sessions, codes, bans and the order of the audit go by them. `skews` are by how many ms each is ahead of
 * this process's, by whose it is.
 */
export const clockProbe = (skews: () => Promise<Record<string, number>>): Probe => ({
  name: 'clocks',
  critical: false,
  remedy: 'The clocks could not be compared.',
  async run() {
    const off = Object.entries(await skews()).filter(([, ms]) => Math.abs(ms) > MOST_SKEW_MS)
    if (off.length === 0) return undefined
    const told = off.map(([whose, ms]) => `${whose}: ${ms > 0 ? '+' : '−'}${(Math.abs(ms) / 1000).toFixed(1)} s`)
    return {
      state: 'degraded',
      detail: `Clocks differ from the system service's: ${told.join(', ')}.`,
      remedy: 'Have all machines keep their time by NTP (systemd-timesyncd, chrony).',
    }
  },
})

type Doubt = { kind: 'ahead' | 'apart' | 'behind'; ms: number; now: Date; known: Date }

/** Tells whether this machine's clock is to be believed, and what that means. */
export const clockDoubtProbe = (look: () => Promise<Doubt | undefined>): Probe => ({
  name: 'clock',
  critical: false,
  remedy: 'The clock could not be compared with what is known.',
  async run() {
    const doubt = await look()
    if (!doubt) return undefined
    const { kind, ms, now, known } = doubt
    const seconds = Math.round(Math.abs(ms) / 1000)
    const kept = 'What would expire by it is kept.'
    const details = {
      ahead: `It says ${now.toISOString()}; the latest time that is known is ${known.toISOString()}. ${kept}`,
      apart: `It is ${seconds} s ${ms > 0 ? 'ahead of' : 'behind'} the database's. ${kept}`,
      behind: `It says ${now.toISOString()}; ${known.toISOString()} has been before. What is done now is dated earlier than what was done then.`,
    }
    const confirm = 'If it is right, say so: conntext clock confirm.'
    const remedies = {
      ahead: `Have the clock kept by NTP, or set it right. ${confirm} A server that was off for days is in this doubt, and one that was restored.`,
      apart: 'Have both machines keep their time by NTP. It goes on by itself then.',
      behind: `Set the clock right (NTP). ${confirm}`,
    }
    return {
      state: 'degraded',
      detail: details[kind],
      remedy: remedies[kind],
    }
  },
})

const LEAST_FREE = { share: 0.1, bytes: 1_073_741_824 }

/** Looks whether a disk has room left. */
export const diskProbe = (name: string, free: () => Promise<{ free: number; total: number }>): Probe => ({
  name,
  critical: false,
  remedy: 'How full the disk is could not be found out.',
  async run() {
    const found = await free()
    if (found.free > LEAST_FREE.bytes && found.free > LEAST_FREE.share * found.total) return undefined
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
    return {
      state: 'degraded',
      detail: `${gigabytes(found.free)} of ${gigabytes(found.total)} are free.`,
      remedy:
        'Make room, or a larger disk, before it is full: a full disk refuses every message and every audit event.',
    }
  },
})

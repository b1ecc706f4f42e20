import type { ServerDetails, ServerDetailsExecutor } from '@conntext/db-server-details'
import type { AppError, Clock } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import { networkOf } from './network.ts'
import { countFailure, deleteFailures, findFailures } from './queries.ts'

/** How many failures are free, and how long the pauses after them get. */
export type Policy = { free: number; firstMs: number; longestMs: number }

/** Whose failures are counted: kept only as a keyed hash. */
export type Subject = { kind: 'account' | 'address' | 'registration'; name: string }

const policies: Record<Subject['kind'], Policy> = {
  // Somebody who fails in another's name keeps that one out at most so long.
  account: { free: 5, firstMs: 2_000, longestMs: 5 * 60_000 },
  // Many people may share an address.
  address: { free: 20, firstMs: 2_000, longestMs: 15 * 60_000 },
  registration: { free: 10, firstMs: 2_000, longestMs: 15 * 60_000 },
}

/** How long after its last failure a subject is as if it had never failed. Longer than any pause. */
export const FORGOTTEN_AFTER_MS = 60 * 60_000

/** The pause that so many failures bring: none for the free ones, then it doubles with each. */
export const pauseAfter = (failures: number, policy: Policy): number =>
  failures < policy.free ? 0 : Math.min(policy.longestMs, policy.firstMs * 2 ** Math.min(failures - policy.free, 30))

/** What an address has to answer for; nothing where it isn't known. */
export const addressSubject = (kind: 'address' | 'registration', address: string | null): Subject[] =>
  address === null ? [] : [{ kind, name: networkOf(address) }]

type Dependencies = { db: ServerDetails; clock: Clock; hash: KeyedHash }

/** Slows down whoever guesses. Counts are in the database: they hold for all instances and outlive a restart. */
export function createThrottle({ db, clock, hash }: Dependencies) {
  const hashOf = (subject: Subject) => hash(`${subject.kind}:${subject.name}`)

  return {
    /** @throws what `refuse` makes, with `retryAfter` in seconds, while one of the subjects has to wait */
    async admit(subjects: Subject[], refuse: (details: { retryAfter: number }) => AppError): Promise<void> {
      if (subjects.length === 0) return
      const now = clock.now().getTime()
      const found = await findFailures(db, subjects.map(hashOf))
      const waits = subjects.map((subject) => {
        const hash = hashOf(subject)
        const row = found.find((one) => Buffer.compare(one.subject, hash) === 0)
        return row === undefined
          ? 0
          : row.lastFailedAt.getTime() + pauseAfter(row.failures, policies[subject.kind]) - now
      })
      const wait = Math.max(...waits)
      if (wait > 0) throw refuse({ retryAfter: Math.ceil(wait / 1000) })
    },

    async failed(subjects: Subject[]): Promise<void> {
      if (subjects.length === 0) return
      const now = clock.now()
      const forget = new Date(now.getTime() - FORGOTTEN_AFTER_MS)
      await countFailure(db, subjects.map(hashOf), { now, forget })
    },

    async forget(tx: ServerDetailsExecutor, subjects: Subject[]): Promise<void> {
      await deleteFailures(tx, subjects.map(hashOf))
    },
  }
}

export type Throttle = ReturnType<typeof createThrottle>

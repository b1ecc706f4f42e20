import type { ServerDetails, ServerDetailsExecutor } from '@conntext/db-server-details'
import type { AppError, Clock, Logger } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import { networkOf } from './network.ts'
import { countAttempt, countFailure, deleteFailures, type Failures, findFailures } from './queries.ts'

/** How many failures are free, and how long the pauses after them get. */
export type Policy = { free: number; firstMs: number; longestMs: number }

/** Whose failures are counted: kept only as a keyed hash. */
export type Subject = { kind: keyof typeof policies; name: string }

const policies = {
  // Somebody who fails in another's name keeps that one out at most so long.
  account: { free: 5, firstMs: 2_000, longestMs: 5 * 60_000 },
  // Many people may share an address.
  address: { free: 20, firstMs: 2_000, longestMs: 15 * 60_000 },
  registration: { free: 10, firstMs: 2_000, longestMs: 15 * 60_000 },
  // Whoever tries out which email addresses have accounts, by registering with them.
  emailProbe: { free: 10, firstMs: 2_000, longestMs: 15 * 60_000 },
  // Whoever is logged in and tries out the account's password or codes.
  confirmation: { free: 5, firstMs: 2_000, longestMs: 5 * 60_000 },
  // Whoever knows an account's password and tries out codes.
  secondFactor: { free: 5, firstMs: 2_000, longestMs: 5 * 60_000 },
  // Whoever asks for mails to be sent, by where they are …
  passwordReset: { free: 10, firstMs: 10_000, longestMs: 15 * 60_000 },
  // … and whose mailbox they are to fill: verifications, by account and by address, …
  mail: { free: 3, firstMs: 60_000, longestMs: 30 * 60_000 },
  // … and resets, each of which ends the token of the one before.
  resetMail: { free: 3, firstMs: 60_000, longestMs: 15 * 60_000 },
} satisfies Record<string, Policy>

/** How long after its last failure a subject is as if it had never failed. Longer than any pause. */
export const FORGOTTEN_AFTER_MS = 60 * 60_000

// By how much the clocks of instances may differ.
const SKEW_MS = 60_000

/** Failures from longer ago than this moment are forgotten, and those from after that one: a clock was ahead then. */
export const memoryAt = (now: Date): { since: Date; until: Date } => ({
  since: new Date(now.getTime() - FORGOTTEN_AFTER_MS),
  until: new Date(now.getTime() + SKEW_MS),
})

/** The pause that so many failures bring: none for the free ones, then it doubles with each. */
export const pauseAfter = (failures: number, policy: Policy): number =>
  failures < policy.free ? 0 : Math.min(policy.longestMs, policy.firstMs * 2 ** Math.min(failures - policy.free, 30))

/** What an address has to answer for; nothing where it isn't known. */
export const addressSubject = (
  kind: 'address' | 'registration' | 'passwordReset' | 'emailProbe',
  address: string | null,
): Subject[] => (address === null ? [] : [{ kind, name: networkOf(address) }])

type Dependencies = { db: ServerDetails; clock: Clock; hash: KeyedHash; log: Logger }

/** Slows down whoever guesses. Counts are in the database: they hold for all instances and outlive a restart. */
export function createThrottle({ db, clock, hash, log }: Dependencies) {
  const keyOf = (subject: Subject) => `${subject.kind}:${subject.name}`
  const hashOf = (subject: Subject) => hash(keyOf(subject))
  // Failures whose count is still on its way to the database.
  const underway = new Map<string, number>()

  type Found = (Failures & { subject: Uint8Array })[]

  const keptOf = (subject: Subject, found: Found, now: number): Failures | undefined => {
    const hash = hashOf(subject)
    const row = found.find((one) => Buffer.compare(one.subject, hash) === 0)
    return row && row.lastFailedAt.getTime() <= now + SKEW_MS ? row : undefined
  }

  const failuresOf = (subject: Subject, found: Found, now: number): number => {
    const kept = keptOf(subject, found, now)
    const remembered = kept && now - kept.lastFailedAt.getTime() <= FORGOTTEN_AFTER_MS ? kept.failures : 0
    return remembered + (underway.get(keyOf(subject)) ?? 0)
  }

  const waitOf = (subject: Subject, found: Found, now: number): number => {
    const more = underway.get(keyOf(subject)) ?? 0
    const kept = keptOf(subject, found, now)
    const last = more > 0 ? now : (kept?.lastFailedAt.getTime() ?? 0)
    return last + pauseAfter((kept?.failures ?? 0) + more, policies[subject.kind]) - now
  }

  const failed = async (subjects: Subject[]): Promise<void> => {
    if (subjects.length === 0) return
    const now = clock.now()
    await countFailure(db, subjects.map(hashOf), { now, memory: memoryAt(now) })
  }

  return {
    /**
     * Answers the failures that are held against each.
     * @throws what `refuse` makes, with `retryAfter` in seconds, while one of the subjects has to wait
     */
    async admit(
      subjects: Subject[],
      refuse: (details: { retryAfter: number }) => AppError,
      executor: ServerDetailsExecutor = db,
    ): Promise<number[]> {
      if (subjects.length === 0) return []
      const found = await findFailures(executor, subjects.map(hashOf))
      const now = clock.now().getTime()
      const wait = Math.max(...subjects.map((subject) => waitOf(subject, found, now)))
      if (wait > 0) throw refuse({ retryAfter: Math.ceil(wait / 1000) })
      return subjects.map((subject) => failuresOf(subject, found, now))
    },

    async mustWait(subject: Subject): Promise<boolean> {
      return waitOf(subject, await findFailures(db, [hashOf(subject)]), clock.now().getTime()) > 0
    },

    failed,

    /**
     * Counts a try as a failure before it is known how it ends; `forget` takes it back. So of any number made at once, on
     * any number of instances, no more come through than of those made one after the other: what a guess of one in a
     * million calls for.
     * @throws as `admit`
     */
    async attempt(subject: Subject, refuse: (details: { retryAfter: number }) => AppError): Promise<void> {
      const now = clock.now()
      const policy = policies[subject.kind]
      if (await countAttempt(db, hashOf(subject), { now, memory: memoryAt(now), policy })) return
      await this.admit([subject], refuse)
      // The pause has ended in between.
      throw refuse({ retryAfter: 1 })
    },

    /** Counts at once, and writes it down when there is a connection: for whoever holds one that is to roll back. */
    failedSoon(subjects: Subject[]): void {
      const keys = subjects.map(keyOf)
      const add = (by: number) => {
        for (const key of keys) {
          const count = (underway.get(key) ?? 0) + by
          if (count === 0) underway.delete(key)
          else underway.set(key, count)
        }
      }
      add(1)
      failed(subjects)
        .catch((error) => log.warn({ err: error }, 'a failure could not be counted'))
        .finally(() => add(-1))
    },

    async forget(tx: ServerDetailsExecutor, subjects: Subject[]): Promise<void> {
      await deleteFailures(tx, subjects.map(hashOf))
    },
  }
}

export type Throttle = ReturnType<typeof createThrottle>

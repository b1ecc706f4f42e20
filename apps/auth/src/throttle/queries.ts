import { loginFailures, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { inArray, lt, sql } from 'drizzle-orm'
import type { Policy } from './throttle.ts'

export type Failures = { failures: number; lastFailedAt: Date }

export const findFailures = (db: ServerDetailsExecutor, subjects: Uint8Array[]) =>
  db.select().from(loginFailures).where(inArray(loginFailures.subject, subjects))

/** Failures outside of it are forgotten. */
export type Memory = { since: Date; until: Date }

const isForgotten = ({ since, until }: Memory) =>
  sql`(${loginFailures.lastFailedAt} < ${since.toISOString()}::timestamptz
    or ${loginFailures.lastFailedAt} > ${until.toISOString()}::timestamptz)`

/** Counts one more failure for each subject; those whose last one is forgotten begin anew. */
export async function countFailure(
  db: ServerDetailsExecutor,
  subjects: Uint8Array[],
  { now, memory }: { now: Date; memory: Memory },
): Promise<void> {
  // In one order, so that two that count the same subjects can't wait for each other.
  const rows = subjects.toSorted(Buffer.compare).map((subject) => ({ subject, failures: 1, lastFailedAt: now }))
  await db
    .insert(loginFailures)
    .values(rows)
    .onConflictDoUpdate({
      target: loginFailures.subject,
      set: {
        failures: sql`case when ${isForgotten(memory)} then 1 else ${loginFailures.failures} + 1 end`,
        lastFailedAt: now,
      },
    })
}

/** Counts a try, unless the subject has to wait; answers whether it counted. */
export async function countAttempt(
  db: ServerDetailsExecutor,
  subject: Uint8Array,
  { now, memory, policy }: { now: Date; memory: Memory; policy: Policy },
): Promise<boolean> {
  const { free, firstMs, longestMs } = policy
  const { failures, lastFailedAt } = loginFailures
  const forgotten = isForgotten(memory)
  // As `pauseAfter`.
  const pauseMs = sql`least(${longestMs}::float8, ${firstMs}::float8 * 2 ^ least(${failures} - ${free}::integer, 30))`
  const counted = await db
    .insert(loginFailures)
    .values({ subject, failures: 1, lastFailedAt: now })
    .onConflictDoUpdate({
      target: loginFailures.subject,
      set: { failures: sql`case when ${forgotten} then 1 else ${failures} + 1 end`, lastFailedAt: now },
      setWhere: sql`${forgotten} or ${failures} < ${free}::integer
        or ${lastFailedAt} + ${pauseMs} * interval '1 millisecond' <= ${now.toISOString()}::timestamptz`,
    })
    .returning({ failures })
  return counted.length > 0
}

export async function deleteFailures(db: ServerDetailsExecutor, subjects: Uint8Array[]): Promise<void> {
  await db.delete(loginFailures).where(inArray(loginFailures.subject, subjects))
}

export async function pruneFailures(db: ServerDetailsExecutor, before: Date): Promise<void> {
  await db.delete(loginFailures).where(lt(loginFailures.lastFailedAt, before))
}

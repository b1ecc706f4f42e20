import type { SystemStorage } from '@conntext/contracts'
import { type ServerDetails, storageSamples } from '@conntext/db-server-details'
import { asc, gt, lt, sql } from 'drizzle-orm'

const DAY_MS = 86_400_000
const SHOWN_DAYS = 90
const KEPT_DAYS = 400

const dayBefore = (now: Date, days: number): string =>
  new Date(now.getTime() - days * DAY_MS).toISOString().slice(0, 10)

/** By day, the oldest first. */
export async function listGrowth(db: ServerDetails, now: Date): Promise<SystemStorage['growth']> {
  const rows = await db
    .select()
    .from(storageSamples)
    .where(gt(storageSamples.day, dayBefore(now, SHOWN_DAYS)))
    .orderBy(asc(storageSamples.day), asc(storageSamples.store))
  const days = Map.groupBy(rows, ({ day }) => day)
  return [...days].map(([day, samples]) => ({
    day,
    stores: Object.fromEntries(samples.map(({ store, bytes }) => [store, bytes])),
  }))
}

export async function recordSample(
  db: ServerDetails,
  day: string,
  samples: { store: string; bytes: number }[],
): Promise<void> {
  if (samples.length === 0) return
  await db
    .insert(storageSamples)
    .values(samples.map((sample) => ({ day, ...sample })))
    .onConflictDoUpdate({
      target: [storageSamples.day, storageSamples.store],
      set: { bytes: sql`excluded.bytes` },
    })
  await db.delete(storageSamples).where(lt(storageSamples.day, dayBefore(new Date(day), KEPT_DAYS)))
}

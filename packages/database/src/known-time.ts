import { isKeptByNtp, type Job, type Logger, systemClock } from '@conntext/kernel'
import { eq, sql } from 'drizzle-orm'
import { integer, pgTable } from 'drizzle-orm/pg-core'
import { time } from './columns.ts'
import type { Executor } from './executor.ts'

/** One row: the latest time that one service has taken for true. */
export const knownTimeTable = <const N extends string>(name: N) =>
  pgTable(name, { id: integer().primaryKey(), at: time('at').notNull() })

export type KnownTimeTable = ReturnType<typeof knownTimeTable<string>>

const ROW = 1
const MINUTE_MS = 60_000
const LOOK_EVERY_MS = MINUTE_MS
// For whoever looks at nothing but the log.
const TELL_EVERY_MS = 24 * 60 * MINUTE_MS
/** A server may be off for so long without evidence. What expires is deleted early by no more than this. */
export const OFF_AT_MOST_MS = 3 * 24 * 60 * MINUTE_MS
/** By how much this machine's clock and the database's may differ, or go back, without doubt. */
export const DIFFERENCE_MS = 5 * MINUTE_MS

/** Why the clock is not to be believed: `ahead` of all that was known, `apart` from the database's, or `behind`. */
export type ClockDoubt = { kind: 'ahead' | 'apart' | 'behind'; ms: number; now: Date; known: Date }

export type KnownTimeOptions = {
  db: Executor
  table: KnownTimeTable
  log: Logger
  /** This machine's clock. */
  now?: () => Date
  /** Whether the system keeps this time right by NTP. */
  isKept?: (now: Date) => boolean
  /** Milliseconds that pass, however clocks are set. */
  elapsed?: () => number
}

/**
 * Watches this machine's clock, so that one which is a year ahead doesn't have everything deleted that would have expired
 * by then. It is compared with the database's, and with the latest time that was taken for true, which is kept. As long as
 * it is in doubt, what can't be undone isn't done; it goes on by itself when the clock is right again, when the
 * system keeps by NTP what is ahead (of whoever was off for long), or when an administrator says that it is right (`conntext
 * clock confirm`).
 */
export class KnownTime {
  #doubted: ClockDoubt['kind'] | undefined
  #toldAt = Number.NEGATIVE_INFINITY
  readonly #now: () => Date
  readonly #isKept: (now: Date) => boolean
  readonly #elapsed: () => number

  constructor(private readonly options: KnownTimeOptions) {
    this.#now = options.now ?? (() => systemClock.now())
    this.#isKept = options.isKept ?? isKeptByNtp
    this.#elapsed = options.elapsed ?? (() => performance.now())
  }

  /** Looks at the clocks, and takes note of the time where there is no doubt. */
  async look(): Promise<ClockDoubt | undefined> {
    const { db, table } = this.options
    const began = performance.now()
    const now = this.#now()
    const [row] = (await db
      .select({ at: table.at, theirs: sql<string>`extract(epoch from clock_timestamp()) * 1000` })
      .from(sql`(select 1) as one`)
      .leftJoin(table, eq(table.id, ROW))) as { at: Date | null; theirs: string }[]
    const known = row!.at ?? now
    const tookMs = performance.now() - began
    const doubt = doubtOf({ now, known, theirs: Number(row!.theirs), tookMs }, this.#isKept)
    if (!doubt && (row!.at === null || now.getTime() - known.getTime() > LOOK_EVERY_MS / 2))
      await noteTime(db, table, now)
    this.#tell(doubt)
    return doubt
  }

  /** Whether nothing is to be done that can't be undone. A clock that is behind has too little deleted, not too much. */
  async isInDoubt(): Promise<boolean> {
    const doubt = await this.look()
    return doubt !== undefined && doubt.kind !== 'behind'
  }

  /** The job, left out for as long as the clock is in doubt. */
  guard(job: Job): Job {
    return {
      ...job,
      run: async (stopping) => {
        if (!(await this.isInDoubt())) await job.run(stopping)
      },
    }
  }

  get job(): Job {
    return { name: 'clock', everyMs: LOOK_EVERY_MS, run: async () => void (await this.look()) }
  }

  #tell(doubt: ClockDoubt | undefined): void {
    const now = this.#elapsed()
    if (doubt?.kind === this.#doubted && (!doubt || now - this.#toldAt < TELL_EVERY_MS)) return
    this.#toldAt = now
    this.#doubted = doubt?.kind
    if (doubt)
      this.options.log.error(
        { doubt },
        'the clock is not to be believed: what would expire by it is kept, until it is set right or confirmed',
      )
    else this.options.log.warn({}, 'the clock is to be believed again')
  }
}

type Clocks = { now: Date; known: Date; theirs: number; tookMs: number }

function doubtOf({ now, known, theirs, tookMs }: Clocks, isKept: (now: Date) => boolean): ClockDoubt | undefined {
  const aheadMs = now.getTime() - known.getTime()
  const apartMs = now.getTime() - theirs
  if (aheadMs > OFF_AT_MOST_MS && !isKept(now)) return { kind: 'ahead', ms: aheadMs, now, known }
  if (Math.abs(apartMs) > DIFFERENCE_MS + tookMs) return { kind: 'apart', ms: apartMs, now, known }
  if (-aheadMs > DIFFERENCE_MS) return { kind: 'behind', ms: -aheadMs, now, known }
  return undefined
}

/** Never back: several instances say it. */
const noteTime = (db: Executor, table: KnownTimeTable, at: Date) =>
  db
    .insert(table)
    .values({ id: ROW, at })
    .onConflictDoUpdate({ target: table.id, set: { at: sql`greatest(${table.at}, excluded.at)` } })

/** By how many ms a time, which is now, is ahead of the database's clock. */
export async function aheadOfDatabase(db: Executor, now: Date): Promise<number> {
  const rows = await db.execute(sql`select extract(epoch from clock_timestamp()) * 1000 as theirs`)
  return now.getTime() - Number((rows as unknown as [{ theirs: string }])[0].theirs)
}

/** What an administrator says: that the time is this one, whatever was known. */
export async function confirmTime(db: Executor, table: KnownTimeTable, at: Date): Promise<void> {
  await db.insert(table).values({ id: ROW, at }).onConflictDoUpdate({ target: table.id, set: { at } })
}

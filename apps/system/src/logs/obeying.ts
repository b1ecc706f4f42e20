import type { Bus } from '@conntext/bus'
import { type Audit, dropLogDay, logDays } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { tellLogging } from '@conntext/http'
import { answerWithin, type Clock, type Logger, type LogLevel } from '@conntext/kernel'
import { readSettings } from '../server/queries.ts'

type Deps = { db: ServerDetails; audit: Audit; bus: Bus; log: Logger; clock: Clock }

const DAY_MS = 86_400_000
const TELL_WITHIN_MS = 5_000

/**
 * Sees to it that all processes log as the settings want it. Each says what it was told whenever it speaks: who was not
 * there when it was said, or didn't hear it, is told again.
 */
export function createLogTeller({ db, bus, log }: Pick<Deps, 'db' | 'bus' | 'log'>) {
  let wanted: LogLevel | null | undefined
  let telling: Promise<void> | undefined
  const tell = async () => {
    try {
      wanted = (await readSettings(db)).logLevel
      await answerWithin(TELL_WITHIN_MS, () => tellLogging(bus, wanted ?? null))
    } catch (error) {
      // Whoever speaks next is told.
      wanted = undefined
      log.warn({ err: error }, 'the processes could not be told how much to log')
    }
  }
  const begin = (after?: Promise<void>) => {
    const mine = (after ? after.then(tell) : tell()).finally(() => {
      if (telling === mine) telling = undefined
    })
    telling = mine
    return mine
  }
  return {
    /** After a change, or where one may have been missed. What is being told just now may be what was before. */
    tell: () => begin(telling),
    /** What a process was told, as it says. */
    heard(level: LogLevel | null): void {
      // Another instance may have changed it: what stands in the database counts.
      if (level !== wanted && !telling) void begin()
    },
    /** Ends when nothing is under way any more. */
    settled: () => telling ?? Promise.resolve(),
  }
}

/** Removes what is kept no longer: days that ended so many days ago. */
export async function dropOldLogs({ db, audit, clock }: Pick<Deps, 'db' | 'audit' | 'clock'>): Promise<void> {
  const { logRetentionDays } = await readSettings(db)
  const before = clock.now().getTime() - (logRetentionDays + 1) * DAY_MS
  for (const day of await logDays(audit)) {
    if (Date.parse(day) <= before) await dropLogDay(audit, day)
  }
}

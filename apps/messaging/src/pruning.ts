import { type Communications, messageDeletions, slowModeSends } from '@conntext/db-communications'
import type { Clock, Job } from '@conntext/kernel'
import { lt } from 'drizzle-orm'
import { dropExpiredUploads } from './uploads/queries.ts'

const HOUR_MS = 60 * 60_000
// The longest slow mode that a channel can have: 21,600 s.
const LONGEST_PAUSE_MS = 6 * HOUR_MS
// Much longer than whoever asked for a deletion goes on asking after it is done.
const DELETIONS_KEPT_MS = 30 * 24 * HOUR_MS

type Dependencies = { db: Communications; clock: Clock }

/** Deletes what nobody asks for any more: at the start, then every hour. */
export const pruningJob = ({ db, clock }: Dependencies): Job => ({
  name: 'pruning',
  everyMs: HOUR_MS,
  async run() {
    const before = (ms: number) => new Date(clock.now().getTime() - ms)
    await dropExpiredUploads(db, clock.now())
    await db.delete(slowModeSends).where(lt(slowModeSends.sentAt, before(LONGEST_PAUSE_MS)))
    await db.delete(messageDeletions).where(lt(messageDeletions.finishedAt, before(DELETIONS_KEPT_MS)))
  },
})

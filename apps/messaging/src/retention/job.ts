import { systemActor } from '@conntext/contracts'
import { type Communications, messageExpiries } from '@conntext/db-communications'
import type { Guard } from '@conntext/http'
import type { Clock, Job } from '@conntext/kernel'
import { eq, sql } from 'drizzle-orm'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { WriteStreams } from '../streams/writer.ts'
import { type Expiry, expireSome, trimSome } from './expiry.ts'

const EVERY_MS = 10 * 60_000
const DAY_MS = 24 * 60 * 60_000
// Between two steps, whoever waits to write in the channel has their turn, and the database has other things to do.
const PAUSE_MS = { shortest: 5, longest: 500 }
// Any number will do, as long as nothing else locks by it.
const LOCK = 7_261_003

export type RetentionDeps = {
  db: Communications
  write: WriteStreams
  guard: Guard
  clock: Clock
  nudge: () => void
}

/** Deletes what channels keep no longer. Of several instances one at a time does so. */
export const retentionJob = (deps: RetentionDeps): Job => ({
  name: 'retention',
  everyMs: EVERY_MS,
  run: (stopping) => alone(deps.db, () => expireAll(deps, stopping)),
})

/** The lock ends with the transaction, or with the process that has it; what is done under it is done elsewhere. */
const alone = (db: Communications, work: () => Promise<void>): Promise<void> =>
  db.transaction(async (tx) => {
    const [row] = await tx.execute<{ taken: boolean }>(sql`select pg_try_advisory_xact_lock(${LOCK}) as taken`)
    if (row?.taken) await work()
  })

/** A step of each channel in turn, so that none waits for a large one. */
async function expireAll(deps: RetentionDeps, stopping: AbortSignal): Promise<void> {
  const { snapshot } = await deps.guard.authority()
  const keeping = snapshot.channels.filter((channel) => channel.messageRetentionDays !== null)
  // What was interrupted is told of, also where it doesn't go on.
  const begun = await deps.db.select({ id: messageExpiries.channelId }).from(messageExpiries)
  let left = [...new Set([...keeping, ...begun].map(({ id }) => id))]
  while (left.length > 0) {
    const more: string[] = []
    for (const channelId of left) {
      if (stopping.aborted) return
      if (await step(deps, channelId)) more.push(channelId)
      else await finish(deps, channelId)
    }
    left = more
  }
}

/** Answers whether there may be more. The setting is looked up anew: it may have been changed since the last step. */
async function step(deps: RetentionDeps, channelId: string): Promise<boolean> {
  const expiry = await expiryOf(deps, channelId)
  if (!expiry) return false
  const began = performance.now()
  // The log first: what is not in it any more need not be made illegible.
  const more = (await trimSome(deps, expiry)) || (await expireSome(deps, expiry))
  if (more) await Bun.sleep(Math.min(PAUSE_MS.longest, Math.max(PAUSE_MS.shortest, performance.now() - began)))
  return more
}

async function expiryOf({ guard, clock }: RetentionDeps, channelId: string): Promise<Expiry | undefined> {
  const { snapshot } = await guard.authority()
  const days = snapshot.channels.find((channel) => channel.id === channelId)?.messageRetentionDays ?? null
  return days === null ? undefined : { channelId, cutoff: new Date(clock.now().getTime() - days * DAY_MS) }
}

/** Audits a pass once, whoever has been at it and however often it was interrupted. */
async function finish({ db, nudge }: RetentionDeps, channelId: string): Promise<void> {
  await db.transaction(async (tx) => {
    const [pass] = await tx.delete(messageExpiries).where(eq(messageExpiries.channelId, channelId)).returning()
    if (!pass || pass.messages === 0) return
    const { messages, files } = pass
    await recordAudit(tx, [messagingAudit('messages.expired', systemActor, channelId, { messages, files })])
  })
  nudge()
}

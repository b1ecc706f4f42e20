import { systemActor } from '@conntext/contracts'
import type { Job } from '@conntext/kernel'
import { messagingAudit, recordAudit } from '../audit.ts'
import { deleteOldCalls, endSilent, listOver, listUnsettled, settleCall, takeCalls } from './queries.ts'
import { audit, RESUMED_WITHIN_MS, type RecordDeps } from './record.ts'

// Nodes tell of whom they have every 15 seconds: three times in a row it didn't get here.
export const SILENT_AFTER_MS = 50_000
const SETTLE_EVERY_MS = 10_000

const HOUR_MS = 60 * 60_000
const DAY_MS = 24 * HOUR_MS
const FORGOTTEN_AT_ONCE = 500

/** Ends what its node, which must have died, didn't: any of several instances does, or all of them. */
export const callSettlingJob = (deps: RecordDeps): Job => ({
  name: 'calls',
  everyMs: SETTLE_EVERY_MS,
  async run(stopping) {
    const now = deps.clock.now().getTime()
    const heardBefore = new Date(now - SILENT_AFTER_MS)
    const endedBefore = new Date(now - RESUMED_WITHIN_MS)
    let audited = false
    for (const channelId of await listUnsettled(deps.db, { heardBefore, endedBefore })) {
      if (stopping.aborted) break
      await deps.db.transaction(async (tx) => {
        await takeCalls(tx, channelId)
        const ended = await endSilent(tx, channelId, heardBefore)
        for (const id of new Set([...ended, ...(await listOver(tx, channelId, endedBefore))])) {
          const settled = await settleCall(tx, id, 0)
          if (settled && (await audit(deps, tx, settled))) audited = true
        }
      })
    }
    if (audited) deps.nudge()
  },
})

/** Forgets calls that the server keeps no longer; as many as there are at once are audited together. */
export const callRetentionJob = (deps: RecordDeps): Job => ({
  name: 'call retention',
  everyMs: HOUR_MS,
  async run(stopping) {
    const days = (await deps.guard.authority()).snapshot.server.callRetentionDays
    if (days === null) return
    const endedBefore = new Date(deps.clock.now().getTime() - days * DAY_MS)
    for (let gone = FORGOTTEN_AT_ONCE; gone === FORGOTTEN_AT_ONCE && !stopping.aborted; ) {
      gone = await deps.db.transaction(async (tx) => {
        const forgotten = await deleteOldCalls(tx, endedBefore, FORGOTTEN_AT_ONCE)
        if (forgotten > 0) {
          await recordAudit(tx, [messagingAudit('calls.expired', systemActor, null, { calls: forgotten })])
        }
        return forgotten
      })
    }
    deps.nudge()
  },
})

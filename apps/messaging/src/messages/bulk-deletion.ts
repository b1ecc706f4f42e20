import { type BulkDeleted, channelStream } from '@conntext/contracts'
import { actorOf, type Caller } from '@conntext/http'
import { messagingAudit, recordAudit } from '../audit.ts'
import { recordDropped } from '../media/removal.ts'
import { eraseMessages } from './erasure.ts'
import { assertStillMay } from './loss.ts'
import { findMessages } from './queries.ts'
import type { MessageDeps } from './service.ts'

/**
 * Deletes several messages of a channel at once, as if each were deleted by itself, and audits it once. Those that
 * aren't there (any more) are left out.
 */
export async function deleteMessages(
  deps: Pick<MessageDeps, 'write' | 'guard' | 'clock' | 'nudge'>,
  caller: Caller,
  { channelId, messageIds }: { channelId: string; messageIds: string[] },
): Promise<BulkDeleted> {
  const { write, clock, nudge } = deps
  const deleted = await write([channelStream(channelId)], async (tx) => {
    await assertStillMay(deps, tx, caller, 'message.manage', channelId)
    const rows = await findMessages(tx, channelId, messageIds)
    const { events, dropped } = await eraseMessages(tx, channelId, rows, clock.now())
    if (rows.length > 0) {
      await recordDropped(tx, actorOf(caller), dropped)
      const data = { count: rows.length, messageIds: rows.map((row) => row.id) }
      await recordAudit(tx, [messagingAudit('messages.bulkDeleted', actorOf(caller), channelId, data)])
    }
    return { answer: rows.length, events }
  })
  nudge()
  return { deleted }
}

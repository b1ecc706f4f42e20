import type { EventType, ReadState, StreamAppend, UnreadOverview } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import { type Caller, type Guard, inScope } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { announceMarks, type DeliveryDeps } from '../conversations/delivery.ts'
import { listConversationIds } from '../conversations/queries.ts'
import { oweUserEvent } from '../streams/owed.ts'
import { countUnread, findMark, raiseMark } from './queries.ts'

const READ: EventType = 'read.updated'

export type ReadDeps = DeliveryDeps & { db: Communications; guard: Guard; clock: Clock; nudge: () => void }

/**
 * Notes up to where somebody, who may see the channel, has read it. The mark only rises, and never beyond what there
 * is; their other devices and, in a conversation, the others in it are told when it does.
 */
export async function markRead(
  deps: ReadDeps,
  { userId, channelId, seq }: { userId: string; channelId: string; seq: number },
): Promise<ReadState> {
  const readAt = deps.clock.now()
  const raised = await deps.db.transaction(async (tx) => {
    const lastReadSeq = await raiseMark(tx, { userId, channelId, seq, readAt })
    if (lastReadSeq !== undefined) {
      const data: ReadState = { channelId, lastReadSeq }
      await oweUserEvent(tx, { userId, type: READ, data, at: readAt })
    }
    return lastReadSeq
  })
  if (raised === undefined) return { channelId, lastReadSeq: await findMark(deps.db, userId, channelId) }
  deps.nudge()
  await announceMarks(deps, channelId, userId)
  return { channelId, lastReadSeq: raised }
}

/** Of news about how far the same person has read the same channel, what is delivered together needs but the latest. */
export function latestOnly(events: StreamAppend[]): StreamAppend[] {
  const latest = new Map<string, StreamAppend>()
  for (const event of events) {
    const key = event.type === READ ? `${event.stream} ${(event.data as ReadState).channelId}` : event.id
    // Deleted first, so that it stands where the later one came.
    latest.delete(key)
    latest.set(key, event)
  }
  return [...latest.values()]
}

/** What the caller hasn't read of each channel that they may see, in their order, and of each conversation of theirs. */
export async function readUnread({ db, guard, clock }: ReadDeps, caller: Caller): Promise<UnreadOverview> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(caller)])
  if (!grant) return { items: [] }
  const now = clock.now().getTime()
  const channelIds = authority.snapshot.channels
    .filter(({ id, type }) => type === 'text' && authority.allows(grant, 'channel.view', id, now))
    .map(({ id }) => id)
  if (inScope(caller, 'channel.view')) channelIds.push(...(await listConversationIds(db, caller.userId)))
  const reader = { userId: caller.userId, targetIds: [caller.userId, ...grant.roleIds] }
  return { items: await countUnread(db, reader, channelIds) }
}

import { type EventType, type ReadState, type StreamAppend, type UnreadOverview, userStream } from '@conntext/contracts'
import { type Communications, messagingOutbox } from '@conntext/db-communications'
import { type Caller, type Guard, inScope } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { announceRead, type DeliveryDeps } from '../conversations/delivery.ts'
import { listConversationIds } from '../conversations/queries.ts'
import type { Transaction } from '../streams/writer.ts'
import { countUnread, findMark, raiseMark } from './queries.ts'

/** The outbox topic for events of the system service's streams. */
export const STREAM_EVENT = 'stream'

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
    if (lastReadSeq !== undefined) await oweNews(tx, userId, { channelId, lastReadSeq }, readAt)
    return lastReadSeq
  })
  if (raised === undefined) return { channelId, lastReadSeq: await findMark(deps.db, userId, channelId) }
  deps.nudge()
  await announceRead(deps, channelId, userId)
  return { channelId, lastReadSeq: raised }
}

async function oweNews(tx: Transaction, userId: string, data: ReadState, at: Date): Promise<void> {
  const id = newId()
  const type: EventType = 'read.updated'
  const payload: StreamAppend = { id, stream: userStream(userId), type, at: at.toISOString(), data }
  await enqueue(tx, messagingOutbox, [{ id, topic: STREAM_EVENT, payload }])
}

/** Of news about how far the same person has read the same channel, what is delivered together needs but the latest. */
export function latestOnly(events: StreamAppend[]): StreamAppend[] {
  const latest = new Map<string, StreamAppend>()
  for (const event of events) {
    const key = `${event.stream} ${(event.data as ReadState).channelId}`
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

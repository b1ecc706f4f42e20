import type { Bus } from '@conntext/bus'
import {
  type ConversationParticipant,
  channelStream,
  type DeliveryState,
  EPHEMERAL,
  encodeNews,
  ephemeralFrame,
  subjects,
} from '@conntext/contracts'
import { type Communications, conversationParticipants, readStates, streams } from '@conntext/db-communications'
import type { Clock, Logger } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { findRifts } from '../contacts/queries.ts'
import { readConversation } from './queries.ts'

export type DeliveryDeps = { db: Communications; bus: Bus; clock: Clock; log: Logger }

/**
 * Notes what has reached a device of somebody's, and tells the others in the conversation, but for who is blocked. Left alone is what they take
 * no part in, and what is known already; no mark goes beyond what there is.
 */
export async function acknowledgeDeliveries(
  deps: DeliveryDeps,
  userId: string,
  deliveries: { channelId: string; seq: number }[],
): Promise<void> {
  const highest = new Map<string, number>()
  for (const { channelId, seq } of deliveries) highest.set(channelId, Math.max(seq, highest.get(channelId) ?? 0))
  if (highest.size === 0) return
  const ids = sql.param([...highest.keys()])
  const seqs = sql.param([...highest.values()])
  // Locked in the order of ids: two devices of one person may say the same at once.
  const moved = await deps.db.execute<{ id: string; delivered: string; read: string }>(sql`
    with reached as (
      select p.conversation_id, least(given.seq, ${streams.lastSeq}) as seq
      from ${conversationParticipants} p
      join unnest(${ids}::uuid[], ${seqs}::bigint[]) as given (id, seq) on given.id = p.conversation_id
      join ${streams} on ${streams.name} = 'channel:' || given.id
      where p.user_id = ${userId} and p.delivered_seq < least(given.seq, ${streams.lastSeq})
      order by p.conversation_id for update of p
    )
    update ${conversationParticipants} p set delivered_seq = greatest(p.delivered_seq, reached.seq)
    from reached where p.conversation_id = reached.conversation_id and p.user_id = ${userId}
    returning p.conversation_id as id, p.delivered_seq as delivered,
      coalesce((select last_read_seq from ${readStates}
        where user_id = ${userId} and channel_id = p.conversation_id), 0) as read`)
  const movedIds = moved.map(({ id }) => id)
  const apart = new Set((await findRifts(deps.db, movedIds)).map((rift) => rift.conversationId))
  const told = moved.filter(({ id }) => !apart.has(id))
  await Promise.all(
    told.map(({ id, delivered, read }) => {
      const readSeq = Number(read)
      return tell(deps, { channelId: id, userId, deliveredSeq: Math.max(Number(delivered), readSeq), readSeq })
    }),
  )
}

/**
 * Tells the others in a conversation how far it has reached somebody and they have read it, once that is stored. Nothing
 * for a channel, nor between two of whom one has blocked the other.
 */
export async function announceMarks(deps: DeliveryDeps, channelId: string, userId: string): Promise<void> {
  const news = await readConversation(deps.db, channelId)
  const isThem = (one: ConversationParticipant) => one.userId === userId
  const mark = news?.conversation.participants.find(isThem)
  if (!mark || (await findRifts(deps.db, [channelId])).length > 0) return
  await tell(deps, { channelId, userId, deliveredSeq: mark.deliveredSeq, readSeq: mark.readSeq })
}

/** Without a number, and stored nowhere but in the state itself: who misses it finds that. */
async function tell({ bus, clock, log }: DeliveryDeps, state: DeliveryState): Promise<void> {
  const stream = channelStream(state.channelId)
  const frame = ephemeralFrame(stream, 'delivery.updated', clock.now().toISOString(), JSON.stringify(state))
  await bus
    .publish(subjects.stream(stream), encodeNews(EPHEMERAL, frame))
    .catch((error: unknown) => log.warn({ err: error, stream }, 'a delivery could not be told'))
}

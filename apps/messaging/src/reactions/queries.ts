import type { ReactionCount } from '@conntext/contracts'
import {
  type CommunicationsExecutor,
  deletedAuthors,
  messageReactionCounts,
  messageReactions,
  messages,
} from '@conntext/db-communications'
import { and, asc, count, eq, gt, inArray, type SQL, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

export type Reaction = { messageId: string; emoji: string; userId: string }

/** A message's emoji in the order in which each was first used, and which of them are the viewer's own. */
export type Reactions = { counts: ReactionCount[]; mine: string[] }

export async function findReactions(
  db: CommunicationsExecutor,
  messageIds: string[],
  viewerId?: string,
): Promise<Map<string, Reactions>> {
  if (messageIds.length === 0) return new Map()
  const rows = await db
    .select({
      messageId: messageReactionCounts.messageId,
      emoji: messageReactionCounts.emoji,
      count: messageReactionCounts.count,
      mine: viewerId === undefined ? sql<boolean>`false` : isMine(viewerId),
    })
    .from(messageReactionCounts)
    .where(inArray(messageReactionCounts.messageId, messageIds))
    .orderBy(asc(messageReactionCounts.firstSeq))
  const found = new Map<string, Reactions>()
  for (const { messageId, emoji, count, mine } of rows) {
    const reactions = found.get(messageId) ?? { counts: [], mine: [] }
    reactions.counts.push({ emoji, count })
    if (mine) reactions.mine.push(emoji)
    found.set(messageId, reactions)
  }
  return found
}

// Named by hand: drizzle leaves the table out of a column's name where it selects from one alone.
const isMine = (viewerId: string): SQL<boolean> => sql<boolean>`exists (select from ${messageReactions} own
  where own.message_id = ${messageReactionCounts}.message_id and own.emoji = ${messageReactionCounts}.emoji
    and own.user_id = ${viewerId})`

/** Answers whether it is new; nothing is taken from an account that is gone. */
export async function insertReaction(tx: Transaction, { messageId, emoji, userId }: Reaction): Promise<boolean> {
  const inserted = await tx.execute(sql`insert into ${messageReactions} (message_id, emoji, user_id)
    select ${messageId}::uuid, ${emoji}, ${userId}::uuid
    where not exists (select from ${deletedAuthors} where user_id = ${userId}::uuid)
    on conflict do nothing`)
  return inserted.count > 0
}

/** Counts one more, first seen under that number of the stream; answers how many there are now. */
export async function countUp(
  tx: Transaction,
  { messageId, emoji }: Omit<Reaction, 'userId'>,
  firstSeq: number,
): Promise<number> {
  const [row] = await tx
    .insert(messageReactionCounts)
    .values({ messageId, emoji, count: 1, firstSeq })
    .onConflictDoUpdate({
      target: [messageReactionCounts.messageId, messageReactionCounts.emoji],
      set: { count: sql`${messageReactionCounts.count} + 1` },
    })
    .returning({ count: messageReactionCounts.count })
  return row!.count
}

export async function countEmoji(tx: Transaction, messageId: string): Promise<number> {
  const [row] = await tx
    .select({ emoji: count() })
    .from(messageReactionCounts)
    .where(eq(messageReactionCounts.messageId, messageId))
  return row!.emoji
}

/** Answers whether it was there. */
export async function deleteReaction(tx: Transaction, { messageId, emoji, userId }: Reaction): Promise<boolean> {
  const gone = await tx
    .delete(messageReactions)
    .where(
      and(
        eq(messageReactions.messageId, messageId),
        eq(messageReactions.emoji, emoji),
        eq(messageReactions.userId, userId),
      ),
    )
    .returning({ userId: messageReactions.userId })
  return gone.length > 0
}

/** Counts one less; answers how many there are now. */
export async function countDown(tx: Transaction, { messageId, emoji }: Omit<Reaction, 'userId'>): Promise<number> {
  const counter = and(eq(messageReactionCounts.messageId, messageId), eq(messageReactionCounts.emoji, emoji))
  const [row] = await tx
    .update(messageReactionCounts)
    .set({ count: sql`${messageReactionCounts.count} - 1` })
    .where(counter)
    .returning({ count: messageReactionCounts.count })
  if (row?.count === 0) await tx.delete(messageReactionCounts).where(counter)
  return row?.count ?? 0
}

/** Removes all reactions of these messages; answers how many there were. */
export async function deleteReactions(tx: Transaction, messageIds: string[]): Promise<number> {
  const gone = await tx.delete(messageReactions).where(inArray(messageReactions.messageId, messageIds))
  await tx.delete(messageReactionCounts).where(inArray(messageReactionCounts.messageId, messageIds))
  return (gone as unknown as { count: number }).count
}

/** Who reacted with an emoji, by their ids. */
export async function listReactors(
  db: CommunicationsExecutor,
  { messageId, emoji }: Omit<Reaction, 'userId'>,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<{ id: string }[]> {
  return db
    .select({ id: messageReactions.userId })
    .from(messageReactions)
    .where(
      and(
        eq(messageReactions.messageId, messageId),
        eq(messageReactions.emoji, emoji),
        after === undefined ? undefined : gt(messageReactions.userId, after),
      ),
    )
    .orderBy(asc(messageReactions.userId))
    .limit(limit)
}

/** Some of somebody's reactions, with their channels. */
export async function findReactionsOf(
  db: CommunicationsExecutor,
  userId: string,
  limit: number,
): Promise<(Reaction & { channelId: string })[]> {
  const { messageId, emoji } = messageReactions
  return db
    .select({ messageId, emoji, userId: messageReactions.userId, channelId: messages.channelId })
    .from(messageReactions)
    .innerJoin(messages, eq(messages.id, messageReactions.messageId))
    .where(eq(messageReactions.userId, userId))
    .limit(limit)
}

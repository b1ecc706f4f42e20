import type { ContactSettings } from '@conntext/contracts'
import {
  blocks,
  type CommunicationsExecutor,
  contactSettings,
  conversationParticipants,
  conversations,
  deletedAuthors,
  readStates,
} from '@conntext/db-communications'
import { and, asc, count, eq, gt, inArray, or, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

// Any number will do, as long as nothing else locks by it.
const LOCK = 7_261_004

/** Waits for whoever is beginning something with this person, and keeps others from it until the end of the transaction. */
export async function takeContacts(tx: Transaction, userId: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${LOCK}, hashtext(${userId}))`)
}

/** Keeps who may write to these people as it is until the end of the transaction. */
async function holdContacts(tx: Transaction, userIds: string[]): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock_shared(${LOCK}, place)
    from (select distinct hashtext(id) as place from unnest(${sql.param(userIds)}::text[]) as id order by place) as places`)
}

/**
 * Those of these people with whom somebody can't begin anything: who has blocked them, or who lets nobody begin and has
 * no conversation of two with them. It stays so until the end of the transaction.
 */
export async function listUnwilling(tx: Transaction, userId: string, others: string[]): Promise<string[]> {
  await holdContacts(tx, others)
  const rows = await tx.execute<{ id: string }>(sql`
    select other.id from unnest(${sql.param(others)}::uuid[]) as other (id)
    where exists (select from ${blocks} where user_id = other.id and blocked_id = ${userId}::uuid)
      or exists (select from ${contactSettings} where user_id = other.id and dms_from = 'nobody')
        and not exists (select from ${conversations}
          where key = least(other.id, ${userId}::uuid) || ':' || greatest(other.id, ${userId}::uuid))`)
  return rows.map((row) => row.id)
}

/** One of two people in a conversation has blocked the other. */
export type Rift = { conversationId: string; userId: string }

/** Where, among conversations of two people, one has blocked the other, and who. Nothing is found of groups. */
export async function findRifts(db: CommunicationsExecutor, conversationIds: string[]): Promise<Rift[]> {
  if (conversationIds.length === 0) return []
  return db.execute<Rift>(sql`
    select c.id as "conversationId", b.user_id as "userId" from ${conversations} c
    join ${conversationParticipants} p on p.conversation_id = c.id
    join ${conversationParticipants} other on other.conversation_id = c.id and other.user_id <> p.user_id
    join ${blocks} b on b.user_id = p.user_id and b.blocked_id = other.user_id
    where c.id = any(${sql.param(conversationIds)}::uuid[]) and c.kind = 'oneToOne'`)
}

/** One of the two has blocked the other: what they see of what the other has received and read stays as it is. */
export async function freezeMarks(tx: Transaction, conversationId: string): Promise<void> {
  await lockConversation(tx, conversationId)
  await tx.execute(sql`
    update ${conversationParticipants} p
    set shown_read_seq = coalesce(r.last_read_seq, 0), shown_delivered_seq = greatest(p.delivered_seq, r.last_read_seq)
    from ${conversationParticipants} self
    left join ${readStates} r on r.user_id = self.user_id and r.channel_id = self.conversation_id
    where self.conversation_id = p.conversation_id and self.user_id = p.user_id
      and p.conversation_id = ${conversationId} and p.shown_read_seq is null`)
}

/** One of the two has taken their block back: if the other has none either, marks are shown as they are again. */
export async function thawMarks(tx: Transaction, conversationId: string): Promise<void> {
  await lockConversation(tx, conversationId)
  if ((await findRifts(tx, [conversationId])).length > 0) return
  await tx
    .update(conversationParticipants)
    .set({ shownDeliveredSeq: null, shownReadSeq: null })
    .where(eq(conversationParticipants.conversationId, conversationId))
}

// So that of two who change their minds at once the later one sees what the other did.
const lockConversation = (tx: Transaction, id: string) =>
  tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, id)).for('no key update')

export async function isBlocked(db: CommunicationsExecutor, userId: string, blockedId: string): Promise<boolean> {
  const rows = await db
    .select({ id: blocks.blockedId })
    .from(blocks)
    .where(and(eq(blocks.userId, userId), eq(blocks.blockedId, blockedId)))
  return rows.length > 0
}

/** Answers whether that is new. */
export async function insertBlock(tx: Transaction, row: typeof blocks.$inferInsert): Promise<boolean> {
  const made = await tx.insert(blocks).values(row).onConflictDoNothing().returning({ id: blocks.blockedId })
  return made.length > 0
}

export async function deleteBlock(tx: Transaction, userId: string, blockedId: string): Promise<boolean> {
  const gone = await tx
    .delete(blocks)
    .where(and(eq(blocks.userId, userId), eq(blocks.blockedId, blockedId)))
    .returning({ id: blocks.blockedId })
  return gone.length > 0
}

export async function countBlocks(db: CommunicationsExecutor, userId: string): Promise<number> {
  const [row] = await db.select({ count: count() }).from(blocks).where(eq(blocks.userId, userId))
  return row!.count
}

/** By id, from `after` on. */
export async function listBlocks(
  db: CommunicationsExecutor,
  userId: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ id: string; createdAt: Date }[]> {
  return db
    .select({ id: blocks.blockedId, createdAt: blocks.createdAt })
    .from(blocks)
    .where(and(eq(blocks.userId, userId), after === undefined ? undefined : gt(blocks.blockedId, after)))
    .orderBy(asc(blocks.blockedId))
    .limit(limit)
}

export async function findSettings(db: CommunicationsExecutor, userId: string): Promise<ContactSettings> {
  const [row] = await db.select().from(contactSettings).where(eq(contactSettings.userId, userId))
  return { dmsFrom: row?.dmsFrom ?? 'everyone' }
}

export async function saveSettings(tx: Transaction, userId: string, { dmsFrom }: ContactSettings): Promise<void> {
  await tx
    .insert(contactSettings)
    .values({ userId, dmsFrom })
    .onConflictDoUpdate({ target: contactSettings.userId, set: { dmsFrom } })
}

/** Those of these people whose accounts are gone: looked at after a row of theirs was written, like everything of theirs. */
export async function listGone(tx: Transaction, userIds: string[]): Promise<string[]> {
  const rows = await tx.select().from(deletedAuthors).where(inArray(deletedAuthors.userId, userIds))
  return rows.map((row) => row.userId)
}

/** What somebody who is gone had against others, and they against them. */
export async function forgetContacts(db: CommunicationsExecutor, userId: string): Promise<void> {
  await db.delete(blocks).where(or(eq(blocks.userId, userId), eq(blocks.blockedId, userId)))
  await db.delete(contactSettings).where(eq(contactSettings.userId, userId))
}

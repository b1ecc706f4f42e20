import type { Conversation, ConversationNews, ConversationParticipant } from '@conntext/contracts'
import {
  type CommunicationsExecutor,
  conversationParticipants,
  conversations,
  deletedAuthors,
  readStates,
  streams,
} from '@conntext/db-communications'
import { and, asc, desc, eq, gt, inArray, lt, or, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import { type ConversationRow, toConversation } from './shape.ts'

const streamOf = sql`'channel:' || ${conversations.id}`

/** The conversations, each as it is now. */
export async function readConversations(
  db: CommunicationsExecutor,
  ids: string[],
): Promise<Map<string, ConversationNews>> {
  if (ids.length === 0) return new Map()
  const [rows, participants] = await Promise.all([
    db
      .select({ row: conversations, lastSeq: sql`coalesce(${streams.lastSeq}, 0)`.mapWith(Number) })
      .from(conversations)
      .leftJoin(streams, eq(streams.name, streamOf))
      .where(inArray(conversations.id, ids)),
    readParticipants(db, ids),
  ])
  return new Map(
    rows.map(({ row, lastSeq }) => {
      const conversation = toConversation(row, { lastSeq, participants: participants.get(row.id) ?? [] })
      return [row.id, { version: row.version, conversation }]
    }),
  )
}

export async function readConversation(db: CommunicationsExecutor, id: string): Promise<ConversationNews | undefined> {
  return (await readConversations(db, [id])).get(id)
}

async function readParticipants(
  db: CommunicationsExecutor,
  ids: string[],
): Promise<Map<string, ConversationParticipant[]>> {
  const { deliveredSeq, shownDeliveredSeq, shownReadSeq } = conversationParticipants
  const rows = await db
    .select({
      conversationId: conversationParticipants.conversationId,
      userId: conversationParticipants.userId,
      joinedAt: conversationParticipants.joinedAt,
      deliveredSeq: sql`coalesce(${shownDeliveredSeq}, ${deliveredSeq})`.mapWith(Number),
      readSeq: sql`coalesce(${shownReadSeq}, ${readStates.lastReadSeq}, 0)`.mapWith(Number),
    })
    .from(conversationParticipants)
    .leftJoin(
      readStates,
      and(
        eq(readStates.userId, conversationParticipants.userId),
        eq(readStates.channelId, conversationParticipants.conversationId),
      ),
    )
    .where(inArray(conversationParticipants.conversationId, ids))
    .orderBy(asc(conversationParticipants.joinedAt), asc(conversationParticipants.userId))
  const found = new Map<string, ConversationParticipant[]>()
  for (const { conversationId, userId, joinedAt, deliveredSeq, readSeq } of rows) {
    const participant = {
      userId,
      joinedAt: joinedAt.toISOString(),
      // What has been read has arrived.
      deliveredSeq: Math.max(deliveredSeq, readSeq),
      readSeq,
    }
    found.set(conversationId, [...(found.get(conversationId) ?? []), participant])
  }
  return found
}

/** Where a page of somebody's list ended. */
export type ListPosition = { activeAt: Date; id: string }

/**
 * What somebody has in their list, the newest activity first: up to `limit`, fewer where they are taken out of some while
 * they are read. `next` is where the following page begins.
 */
export async function listConversations(
  db: CommunicationsExecutor,
  { userId, limit, before }: { userId: string; limit: number; before?: ListPosition | undefined },
): Promise<{ items: Conversation[]; next: ListPosition | undefined }> {
  const rows = await db
    .select({ id: conversations.id, activeAt: conversations.activeAt })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(
      and(
        eq(conversationParticipants.userId, userId),
        eq(conversationParticipants.hidden, false),
        before &&
          or(
            lt(conversations.activeAt, before.activeAt),
            and(eq(conversations.activeAt, before.activeAt), lt(conversations.id, before.id)),
          ),
      ),
    )
    .orderBy(desc(conversations.activeAt), desc(conversations.id))
    .limit(limit + 1)
  const page = rows.slice(0, limit)
  const found = await readConversations(
    db,
    page.map(({ id }) => id),
  )
  const items = page.flatMap(({ id }) => {
    const conversation = found.get(id)?.conversation
    return conversation?.participants.some((one) => one.userId === userId) ? [conversation] : []
  })
  return { items, next: rows.length > limit ? page.at(-1) : undefined }
}

/** The conversations that somebody takes part in, those out of their list too, by id. */
export async function listMemberships(
  db: CommunicationsExecutor,
  { userId, after, limit }: { userId: string; after?: string | undefined; limit: number },
): Promise<{ id: string; version: number }[]> {
  return db
    .select({ id: conversations.id, version: conversations.version })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(
      and(
        eq(conversationParticipants.userId, userId),
        after === undefined ? undefined : gt(conversationParticipants.conversationId, after),
      ),
    )
    .orderBy(asc(conversationParticipants.conversationId))
    .limit(limit)
}

/** The ids of all conversations that somebody takes part in: for what looks at whatever they may see. */
export async function listConversationIds(db: CommunicationsExecutor, userId: string): Promise<string[]> {
  const rows = await db
    .select({ id: conversationParticipants.conversationId })
    .from(conversationParticipants)
    .where(eq(conversationParticipants.userId, userId))
  return rows.map((row) => row.id)
}

/** What somebody knows each of their conversations by: a group's name, or whom they have it with. */
export async function listConversationNames(
  db: CommunicationsExecutor,
  userId: string,
): Promise<{ id: string; name: string | null; withUserId: string | null }[]> {
  const rows = await db
    .select({ id: conversations.id, kind: conversations.kind, name: conversations.name, key: conversations.key })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(eq(conversationParticipants.userId, userId))
  return rows.map(({ id, kind, name, key }) => ({
    id,
    name,
    withUserId: kind === 'oneToOne' ? (key?.split(':').find((one) => one !== userId) ?? null) : null,
  }))
}

/** Who takes part in each of these; nobody where there is no such conversation. */
export async function findParticipantIds(
  db: CommunicationsExecutor,
  ids: string[],
): Promise<Map<string, ReadonlySet<string>>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .select({ id: conversationParticipants.conversationId, userId: conversationParticipants.userId })
    .from(conversationParticipants)
    .where(inArray(conversationParticipants.conversationId, ids))
    .orderBy(asc(conversationParticipants.joinedAt), asc(conversationParticipants.userId))
  const found = new Map<string, Set<string>>()
  for (const { id, userId } of rows) found.set(id, (found.get(id) ?? new Set<string>()).add(userId))
  return found
}

/** What there may be only one of: the conversation of two people. */
export const keyOfTwo = (one: string, other: string): string => [one, other].sort().join(':')

export async function findByKey(db: CommunicationsExecutor, key: string): Promise<ConversationRow | undefined> {
  const [row] = await db.select().from(conversations).where(eq(conversations.key, key))
  return row
}

export async function findConversation(db: CommunicationsExecutor, id: string): Promise<ConversationRow | undefined> {
  const [row] = await db.select().from(conversations).where(eq(conversations.id, id))
  return row
}

/** Answers whether it was made: false where there is one with its key, which is committed by then. */
export async function insertConversation(tx: Transaction, row: typeof conversations.$inferInsert): Promise<boolean> {
  const made = await tx.insert(conversations).values(row).onConflictDoNothing().returning({ id: conversations.id })
  return made.length > 0
}

/**
 * Adds people to a conversation. Answers whether they may stay: not where one of their accounts is gone. Then nothing
 * may be committed.
 */
export async function insertParticipants(
  tx: Transaction,
  rows: (typeof conversationParticipants.$inferInsert)[],
): Promise<boolean> {
  await tx.insert(conversationParticipants).values(rows)
  const ids = rows.map((row) => row.userId)
  // In this order: whoever takes somebody who is gone out of everything waits for writers, and then finds the rows.
  const gone = await tx.select().from(deletedAuthors).where(inArray(deletedAuthors.userId, ids)).limit(1)
  return gone.length === 0
}

export async function deleteParticipant(tx: Transaction, id: string, userId: string): Promise<void> {
  await tx
    .delete(conversationParticipants)
    .where(and(eq(conversationParticipants.conversationId, id), eq(conversationParticipants.userId, userId)))
}

// Any number will do, as long as nothing else locks by it.
const GROUPS_LOCK = 7_261_006

/** Waits for whoever is putting one of these people into a group, and keeps others from it until the end of the transaction. */
export async function takeMemberships(tx: Transaction, userIds: string[]): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${GROUPS_LOCK}, place)
    from (select distinct hashtext(id) as place from unnest(${sql.param(userIds)}::text[]) as id order by place) as places`)
}

/** Those of these people who are in as many groups as one may be, or more. */
export async function listInAllGroups(db: CommunicationsExecutor, userIds: string[], most: number): Promise<string[]> {
  const rows = await db
    .select({ userId: conversationParticipants.userId })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(and(inArray(conversationParticipants.userId, userIds), eq(conversations.kind, 'group')))
    .groupBy(conversationParticipants.userId)
    .having(sql`count(*) >= ${most}`)
  return rows.map((row) => row.userId)
}

/** Answers whether that is new. */
export async function setHidden(
  db: CommunicationsExecutor,
  { id, userId, hidden }: { id: string; userId: string; hidden: boolean },
): Promise<boolean> {
  const rows = await db
    .update(conversationParticipants)
    .set({ hidden })
    .where(
      and(
        eq(conversationParticipants.conversationId, id),
        eq(conversationParticipants.userId, userId),
        eq(conversationParticipants.hidden, !hidden),
      ),
    )
    .returning({ id: conversationParticipants.conversationId })
  return rows.length > 0
}

/** New messages bring their conversations to the top of everybody's list. Their streams must be locked. */
export async function touchConversations(tx: Transaction, ids: string[], at: string): Promise<void> {
  if (ids.length === 0) return
  await tx.execute(sql`update ${conversations} set active_at = ${at}::timestamptz
    where id = any(${sql.param(ids)}::uuid[])`)
  await tx
    .update(conversationParticipants)
    .set({ hidden: false })
    .where(and(inArray(conversationParticipants.conversationId, ids), eq(conversationParticipants.hidden, true)))
}

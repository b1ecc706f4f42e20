import {
  type Communications,
  conversationParticipants,
  conversations,
  deletedAuthors,
} from '@conntext/db-communications'
import { AppError } from '@conntext/kernel'
import { and, eq, ne, sql } from 'drizzle-orm'
import { takeOutDeparted } from './groups.ts'
import { owePurge } from './purge.ts'
import type { ConversationDeps } from './service.ts'

const AT_ONCE = 50

/**
 * What follows here from the deletion of an account that nothing is taken from any more: its person leaves all groups,
 * and what two people said goes once both of them are gone. May be repeated, also after half of it.
 */
export async function leaveConversations(deps: ConversationDeps, userId: string): Promise<void> {
  for (;;) {
    const ids = await listGroups(deps.db, userId)
    if (ids.length === 0) break
    for (const id of ids) {
      await takeOutDeparted(deps, id, userId).catch((error: unknown) => {
        // Whoever else was in it has left, and it went.
        if (!(error instanceof AppError && error.status === 404)) throw error
      })
    }
  }
  const deserted = await listDeserted(deps.db, userId)
  if (deserted.length === 0) return
  await deps.db.transaction(async (tx) => {
    for (const id of deserted) await owePurge(tx, id)
  })
  deps.nudge()
}

async function listGroups(db: Communications, userId: string): Promise<string[]> {
  const rows = await db
    .select({ id: conversations.id })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(and(eq(conversationParticipants.userId, userId), eq(conversations.kind, 'group')))
    .limit(AT_ONCE)
  return rows.map((row) => row.id)
}

/** Conversations of two people, of whom neither is there. */
async function listDeserted(db: Communications, userId: string): Promise<string[]> {
  const rows = await db
    .select({ id: conversations.id })
    .from(conversationParticipants)
    .innerJoin(conversations, eq(conversations.id, conversationParticipants.conversationId))
    .where(
      and(
        eq(conversationParticipants.userId, userId),
        ne(conversations.kind, 'group'),
        sql`not exists (select from ${conversationParticipants} other
          where other.conversation_id = ${conversations.id} and other.user_id not in (select user_id from ${deletedAuthors}))`,
      ),
    )
  return rows.map((row) => row.id)
}

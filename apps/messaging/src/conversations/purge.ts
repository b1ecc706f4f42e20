import { type Communications, conversations, messagingOutbox } from '@conntext/db-communications'
import { newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { eq } from 'drizzle-orm'
import { purgeCalls } from '../calls/queries.ts'
import { purgeChannel } from '../messages/purge.ts'
import type { Transaction } from '../streams/writer.ts'

/** The outbox topic for conversations in which nobody is left. */
export const CONVERSATION_PURGE = 'conversationPurge'
export type ConversationPurge = { id: string }

export async function owePurge(tx: Transaction, id: string): Promise<void> {
  const payload: ConversationPurge = { id }
  await enqueue(tx, messagingOutbox, [{ id: newId(), topic: CONVERSATION_PURGE, payload }])
}

/** Removes a conversation, and all that was said in it. What is interrupted is finished by a repeat. */
export async function purgeConversation(db: Communications, { id }: ConversationPurge): Promise<void> {
  await purgeChannel(db, id)
  await db.delete(conversations).where(eq(conversations.id, id))
  await purgeCalls(db, id)
}

import type { Conversation, ConversationParticipant } from '@conntext/contracts'
import type { conversations } from '@conntext/db-communications'

export type ConversationRow = typeof conversations.$inferSelect

export const toConversation = (
  row: ConversationRow,
  { lastSeq, participants }: { lastSeq: number; participants: ConversationParticipant[] },
): Conversation => ({
  id: row.id,
  kind: row.kind,
  name: row.name,
  ownerId: row.ownerId,
  participants,
  lastSeq,
  createdAt: row.createdAt.toISOString(),
  activeAt: row.activeAt.toISOString(),
})

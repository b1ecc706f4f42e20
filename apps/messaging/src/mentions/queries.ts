import type { Mentions, Message } from '@conntext/contracts'
import { messageMentions } from '@conntext/db-communications'
import { and, eq, inArray, notInArray } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

/** Everyone is kept as the channel itself. */
const targetsOf = (channelId: string, { userIds, roleIds, everyone }: Mentions): string[] => [
  ...userIds,
  ...roleIds,
  ...(everyone ? [channelId] : []),
]

/** Notes whom new messages call. */
export async function insertMentions(tx: Transaction, messages: Message[]): Promise<void> {
  const rows = messages.flatMap(({ channelId, seq, authorId, mentions }) =>
    targetsOf(channelId, mentions).map((targetId) => ({ targetId, channelId, seq, authorId })),
  )
  if (rows.length > 0) await tx.insert(messageMentions).values(rows)
}

/** An edit takes calls back, but calls nobody anew. */
export async function keepMentions(
  tx: Transaction,
  { channelId, seq }: { channelId: string; seq: number },
  mentions: Mentions,
): Promise<void> {
  const kept = targetsOf(channelId, mentions)
  const message = and(eq(messageMentions.channelId, channelId), eq(messageMentions.seq, seq))
  const others = kept.length > 0 ? notInArray(messageMentions.targetId, kept) : undefined
  await tx.delete(messageMentions).where(and(message, others))
}

export async function deleteMentions(tx: Transaction, channelId: string, seqs: number[]): Promise<void> {
  await tx
    .delete(messageMentions)
    .where(and(eq(messageMentions.channelId, channelId), inArray(messageMentions.seq, seqs)))
}

import { MAX_EXCERPT, type ReplyPreview } from '@conntext/contracts'
import { type CommunicationsExecutor, messages } from '@conntext/db-communications'
import { inArray, sql } from 'drizzle-orm'
import { signatureOf } from './shape.ts'

/** What is replied to, with the channel that it is in. */
export type Replied = { channelId: string; preview: ReplyPreview }

/** Each of these messages as a preview, also where it has been deleted. */
export async function findReplied(db: CommunicationsExecutor, ids: string[]): Promise<Map<string, Replied>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .select({
      id: messages.id,
      channelId: messages.channelId,
      authorId: messages.authorId,
      seq: messages.seq,
      excerpt: sql<string>`left(${messages.content}, ${MAX_EXCERPT})`,
      deletedAt: messages.deletedAt,
      webhook: messages.webhook,
    })
    .from(messages)
    .where(inArray(messages.id, ids))
  return new Map(
    rows.map(({ id, channelId, authorId, seq, excerpt, deletedAt, webhook }) => {
      const webhookName = deletedAt === null ? signatureOf({ webhook })?.name : undefined
      const preview = { id, authorId, seq, excerpt, deleted: deletedAt !== null }
      return [id, { channelId, preview: { ...preview, ...(webhookName === undefined ? {} : { webhookName }) } }]
    }),
  )
}

export async function findPreviews(db: CommunicationsExecutor, ids: string[]): Promise<Map<string, ReplyPreview>> {
  const replied = await findReplied(db, ids)
  return new Map([...replied].map(([id, { preview }]) => [id, preview]))
}

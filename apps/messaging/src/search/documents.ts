import type { Media, Mentions } from '@conntext/contracts'
import { type CommunicationsExecutor, searchDocuments, searchProgress } from '@conntext/db-communications'
import { type AttachmentKind, type SearchDocument, tag, toDocument, toVector } from '@conntext/search-text'
import { eq, inArray, sql } from 'drizzle-orm'
import { findMedia } from '../messages/queries.ts'
import { type MessageRow, signatureOf } from '../messages/shape.ts'
import type { Transaction } from '../streams/writer.ts'

export const EVERYONE = 'everyone'

/** What messages are searched by besides their words. */
export const properties = {
  from: (userId: string) => tag('from', userId),
  /** By the name that a webhook's message was said by. */
  webhook: (name: string) => tag('webhook', name.toLowerCase()),
  in: (channelId: string) => tag('in', channelId),
  has: (kind: AttachmentKind) => tag('has', kind),
  mentions: (id: string) => tag('mentions', id),
}

const LINK = /\bhttps?:\/\/[^\s/]/i
const MEDIA_KINDS = ['image', 'video', 'audio'] as const

/** What of a message's row goes into its document. */
export type Indexable = Pick<MessageRow, 'id' | 'authorId' | 'channelId' | 'content' | 'mentions' | 'webhook'>

function documentOf(row: Indexable, media: Media[]): SearchDocument {
  const { authorId, channelId, content, mentions } = row
  const signature = signatureOf(row)
  const called = mentions as Mentions | null
  const kinds = MEDIA_KINDS.filter((kind) => media.some((file) => file.contentType.startsWith(`${kind}/`)))
  return toDocument(content, [
    properties.from(authorId),
    ...(signature ? [properties.webhook(signature.name)] : []),
    properties.in(channelId),
    ...kinds.map(properties.has),
    ...(media.length > 0 ? [properties.has('file')] : []),
    ...(LINK.test(content) ? [properties.has('link')] : []),
    ...[...(called?.userIds ?? []), ...(called?.roleIds ?? [])].map(properties.mentions),
    ...(called?.everyone ? [properties.mentions(EVERYONE)] : []),
  ])
}

/** The messages as they are searched, in their order. */
export async function documentsOf(tx: CommunicationsExecutor, rows: Indexable[]): Promise<SearchDocument[]> {
  const media = await findMedia(
    tx,
    rows.map((row) => row.id),
  )
  return rows.map((row) => documentOf(row, media.get(row.id) ?? []))
}

// Any number will do, as long as nothing else locks by it.
const LOCK = 7_261_002

/**
 * Waits until the channel isn't being indexed, and keeps it so until the end of the transaction: what is read for the
 * index before a change must not be written after it. Locking again and again costs nothing.
 */
const holdIndex = (tx: Transaction, channelId: string) =>
  tx.execute(sql`select pg_advisory_xact_lock_shared(${LOCK}, hashtext(${channelId}))`)

/** Keeps changes of the channel's messages from the index until the end of the transaction; false where one is under way. */
export async function takeIndex(tx: Transaction, channelId: string): Promise<boolean> {
  const rows = await tx.execute(sql`select pg_try_advisory_xact_lock(${LOCK}, hashtext(${channelId})) as taken`)
  return (rows[0] as { taken: boolean }).taken
}

/** After an edit, in its transaction. What is not in the index yet comes there as it is then. */
export async function refreshDocument(tx: Transaction, message: MessageRow): Promise<void> {
  await holdIndex(tx, message.channelId)
  const [document] = await documentsOf(tx, [message])
  await tx
    .update(searchDocuments)
    .set({ words: toVector(document!) })
    .where(eq(searchDocuments.messageId, message.id))
}

/** With the deletion of messages, in its transaction. */
export async function forgetDocuments(tx: Transaction, channelId: string, messageIds: string[]): Promise<void> {
  await holdIndex(tx, channelId)
  await tx.delete(searchDocuments).where(inArray(searchDocuments.messageId, messageIds))
}

/** With the end of a channel, in its last transaction: its messages and their documents are gone already. */
export async function forgetProgress(tx: Transaction, channelId: string): Promise<void> {
  await holdIndex(tx, channelId)
  await tx.delete(searchProgress).where(eq(searchProgress.channelId, channelId))
}

import {
  channelStream,
  type EventType,
  eventFrame,
  type Media,
  type Mentions,
  type Message,
  type MessageType,
  type ReactionCount,
  type ReplyPreview,
  type WebhookAuthor,
} from '@conntext/contracts'
import type { messages } from '@conntext/db-communications'
import type { Appended } from '@conntext/streams'
import { NOBODY } from '../mentions/resolve.ts'

export type MessageRow = typeof messages.$inferSelect

/** By what name, and with which picture, a webhook's message was said: as it is stored with it. */
type Signature = Omit<WebhookAuthor, 'id'>

export const signatureOf = ({ webhook }: Pick<MessageRow, 'webhook'>): Signature | null => webhook as Signature | null

/** What somebody, or a program, says in their own words. */
export const SAID: string[] = ['default', 'webhook'] satisfies MessageType[]

/** Whether the server says it, of what somebody did. */
export const isOfServer = ({ type }: Pick<MessageRow, 'type'>): boolean => !SAID.includes(type)

/** What belongs to a message, and stands in other tables. */
export type Belongings = {
  media: Media[]
  reactions: ReactionCount[]
  replyPreview: ReplyPreview | null
  /** Of whoever reads it; none where that is not one person. */
  myReactions: string[]
}

export const toMessage = (row: MessageRow, { media, reactions, replyPreview, myReactions }: Belongings): Message => ({
  id: row.id,
  channelId: row.channelId,
  authorId: row.authorId,
  type: row.type as MessageType,
  content: row.content,
  nonce: row.nonce,
  seq: row.seq,
  replyTo: row.replyTo,
  replyPreview,
  mentions: (row.mentions as Mentions | null) ?? NOBODY,
  media,
  reactions,
  ...(myReactions.length > 0 ? { myReactions } : {}),
  pinnedAt: row.pinnedAt?.toISOString() ?? null,
  createdAt: row.createdAt.toISOString(),
  editedAt: row.editedAt?.toISOString() ?? null,
  revision: row.revision,
  ...(row.webhook ? { webhook: { id: row.authorId, ...signatureOf(row)! } } : {}),
})

/** What is left of a message that is deleted, for the log. */
export const withoutWords = (row: MessageRow): Message => ({
  ...toMessage(row, { media: [], reactions: [], replyPreview: null, myReactions: [] }),
  content: '',
  mentions: NOBODY,
  // The name came with the words.
  ...(row.webhook ? { webhook: { id: row.authorId, name: '', avatarId: null } } : {}),
})

type Fresh = Pick<Message, 'id' | 'channelId' | 'authorId' | 'seq' | 'createdAt'> & Partial<Message>

/** A message that is just being made. */
export const newMessage = (given: Fresh): Message => ({
  id: given.id,
  channelId: given.channelId,
  authorId: given.authorId,
  type: given.type ?? 'default',
  content: given.content ?? '',
  nonce: given.nonce ?? null,
  seq: given.seq,
  replyTo: given.replyTo ?? null,
  replyPreview: given.replyPreview ?? null,
  mentions: given.mentions ?? NOBODY,
  media: given.media ?? [],
  reactions: [],
  pinnedAt: null,
  createdAt: given.createdAt,
  editedAt: null,
  revision: 0,
  ...(given.webhook ? { webhook: given.webhook } : {}),
})

/** The event of a message's creation: it has the message's number, and its id. */
export const createdEvent = (message: Message): Appended => {
  const stream = channelStream(message.channelId)
  const type: EventType = 'message.created'
  const frame = eventFrame(stream, type, message.seq, message.createdAt, JSON.stringify(message))
  return { stream, seq: message.seq, frame }
}

import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'
import { Media } from './media.ts'

/**
 * What somebody wrote; what a program wrote by a `webhook`, whose id is the author's; or what the server says of what
 * somebody did: `pinned`, whose author pinned the message that it replies to; `memberJoined`, whose author has joined.
 */
export const MessageType = Enumeration(['default', 'webhook', 'pinned', 'memberJoined'], { title: 'MessageType' })
export type MessageType = Static<typeof MessageType>

/** By what name and with which picture a webhook's message was said. The picture may be gone since. */
export const WebhookAuthor = Shape('WebhookAuthor', { id: Id, name: Type.String(), avatarId: Nullable(Id) })
export type WebhookAuthor = Static<typeof WebhookAuthor>

/** Whom a message calls: those who were there, and whom its author may call. */
export const Mentions = Shape('Mentions', {
  userIds: Type.Array(Id),
  roleIds: Type.Array(Id),
  everyone: Type.Boolean({ description: 'By @everyone or @here' }),
})
export type Mentions = Static<typeof Mentions>

export const ReactionCount = Shape('ReactionCount', { emoji: Type.String(), count: Type.Integer({ minimum: 1 }) })
export type ReactionCount = Static<typeof ReactionCount>

export const MAX_EXCERPT = 200

export const ReplyPreview = Shape('ReplyPreview', {
  id: Id,
  authorId: Id,
  seq: Type.Integer({ minimum: 1, description: 'Its place in the channel' }),
  excerpt: Type.String({ description: `The first ${MAX_EXCERPT} characters of it; empty once it is deleted` }),
  deleted: Type.Boolean(),
  webhookName: Type.Optional(Type.String({ description: "Of a webhook's message that isn't deleted: by what name" })),
})
export type ReplyPreview = Static<typeof ReplyPreview>

export const Message = Shape('Message', {
  id: Id,
  channelId: Id,
  authorId: Id,
  type: MessageType,
  content: Type.String(),
  nonce: Nullable(Type.String()),
  seq: Type.Integer({ minimum: 1, description: "The channel stream's number of the message's creation" }),
  replyTo: Nullable(Id),
  replyPreview: Nullable(ReplyPreview),
  mentions: Mentions,
  media: Type.Array(Media),
  reactions: Type.Array(ReactionCount, { description: 'In the order in which each emoji was first used' }),
  myReactions: Type.Optional(
    Type.Array(Type.String(), {
      description: "The caller's own, where there are any; only in what is read, never in events",
    }),
  ),
  pinnedAt: Nullable(Timestamp),
  createdAt: Timestamp,
  editedAt: Nullable(Timestamp),
  revision: Type.Integer({ minimum: 0, description: 'How often it was edited' }),
  webhook: Type.Optional(WebhookAuthor),
})
export type Message = Static<typeof Message>

// Validators count UTF-16 units, of which a character takes up to two: the limit proper, a server setting of at most
// 32,000 characters, is for the messaging service to hold.
const Content = Type.String({ maxLength: 64_000, description: "At most the server's limit of Unicode code points" })

export const NewMessage = Shape('NewMessage', {
  content: Content,
  nonce: Type.Optional(
    Type.String({ minLength: 1, maxLength: 64, description: 'A repeat answers what the first did' }),
  ),
  replyTo: Type.Optional(Nullable(Id)),
  mediaIds: Type.Optional(Type.Array(Id, { maxItems: 32, uniqueItems: true })),
})
export type NewMessage = Static<typeof NewMessage>

export const MessagePatch = Shape('MessagePatch', { content: Content })
export type MessagePatch = Static<typeof MessagePatch>

/** Messages in ascending `seq`, whichever way they page. */
export const MessagePage = Shape('MessagePage', {
  items: Type.Array(Message),
  hasMoreBefore: Type.Boolean(),
  hasMoreAfter: Type.Boolean(),
})
export type MessagePage = Static<typeof MessagePage>

const Position = Type.String({
  pattern: '^([0-9]{1,15}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$',
  description: "A message's seq or id",
})

/** At most one of the four; none means the newest. */
export const HistoryQuery = Fields({
  limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]?|100)$' })),
  before: Type.Optional(Position),
  after: Type.Optional(Position),
  around: Type.Optional(Position),
  at: Type.Optional(
    Type.String({ format: 'date-time', description: 'As `around`: the first message of that moment or later' }),
  ),
})
export type HistoryQuery = Static<typeof HistoryQuery>

export const ChannelParams = Fields({ channelId: Id })
export const MessageParams = Fields({ channelId: Id, messageId: Id })
/** What an edited message said before. */
export const MessageRevision = Shape('MessageRevision', {
  revision: Type.Integer({ minimum: 0, description: '0 is what was sent' }),
  content: Type.String(),
  writtenAt: Timestamp,
})
export type MessageRevision = Static<typeof MessageRevision>
export const MessageRevisionPage = Page('MessageRevisionPage', MessageRevision)

export const MAX_BULK_DELETION = 100

export const BulkDeletion = Shape('BulkDeletion', {
  messageIds: Type.Array(Id, { minItems: 1, maxItems: MAX_BULK_DELETION, uniqueItems: true }),
})
export type BulkDeletion = Static<typeof BulkDeletion>

export const BulkDeleted = Shape('BulkDeleted', {
  deleted: Type.Integer({ minimum: 0, description: 'How many of them were there' }),
})
export type BulkDeleted = Static<typeof BulkDeleted>

const Emoji = Type.String({ minLength: 1, maxLength: 64, description: 'One Unicode emoji, percent-encoded' })

export const ReactionParams = Fields({ channelId: Id, messageId: Id, emoji: Emoji })
export const ReactorParams = Fields({ channelId: Id, messageId: Id, emoji: Emoji, userId: Id })

export const Reactor = Shape('Reactor', { userId: Id })
export type Reactor = Static<typeof Reactor>
export const ReactorPage = Page('ReactorPage', Reactor)

/** The newest pin first. */
export const PinPage = Page('PinPage', Message)

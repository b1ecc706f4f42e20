import { type Static, Type } from '@sinclair/typebox'
import { Fields, Id, Nullable, Shape, Timestamp } from './common.ts'
import { Media } from './media.ts'

export const Message = Shape('Message', {
  id: Id,
  channelId: Id,
  authorId: Id,
  content: Type.String(),
  nonce: Nullable(Type.String()),
  seq: Type.Integer({ minimum: 1, description: "The channel stream's number of the message's creation" }),
  replyTo: Nullable(Id),
  media: Type.Array(Media),
  createdAt: Timestamp,
  editedAt: Nullable(Timestamp),
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

/** At most one of the three; none means the newest. */
export const HistoryQuery = Fields({
  limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]?|100)$' })),
  before: Type.Optional(Position),
  after: Type.Optional(Position),
  around: Type.Optional(Position),
})
export type HistoryQuery = Static<typeof HistoryQuery>

export const ChannelParams = Fields({ channelId: Id })
export const MessageParams = Fields({ channelId: Id, messageId: Id })

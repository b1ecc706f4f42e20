import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'

/** How many people may share a group. */
export const MAX_PARTICIPANTS = 10
/** How many groups one may be in. */
export const MAX_GROUPS = 200
/** How many conversations `ready` lists: the newest. */
export const READY_CONVERSATIONS = 100

export const ConversationKind = Enumeration(['oneToOne', 'group'], { title: 'ConversationKind' })
export type ConversationKind = Static<typeof ConversationKind>

/** Somebody in a conversation, and how far its stream has come with them: what a sender sees as delivered and read. */
export const ConversationParticipant = Shape('ConversationParticipant', {
  userId: Id,
  joinedAt: Timestamp,
  deliveredSeq: Type.Integer({ minimum: 0, description: 'What has reached a device of theirs: up to this `seq`' }),
  readSeq: Type.Integer({ minimum: 0, description: 'What they have read: up to this `seq`' }),
})
export type ConversationParticipant = Static<typeof ConversationParticipant>

/** A direct message or a group. Its id stands wherever a channel's does. */
export const Conversation = Shape('Conversation', {
  id: Id,
  kind: ConversationKind,
  name: Nullable(Type.String()),
  ownerId: Nullable(Id),
  participants: Type.Array(ConversationParticipant, { description: 'Those who were first to join come first' }),
  lastSeq: Type.Integer({ minimum: 0, description: 'The last number of its stream' }),
  createdAt: Timestamp,
  activeAt: Timestamp,
})
export type Conversation = Static<typeof Conversation>
export const ConversationPage = Page('ConversationPage', Conversation)

const GroupName = Type.String({ minLength: 1, maxLength: 100, pattern: '\\S' })

/** One other person and no name: the conversation that the two have, or a new one. Anything else makes a group. */
export const NewConversation = Shape('NewConversation', {
  userIds: Type.Array(Id, {
    minItems: 1,
    maxItems: MAX_PARTICIPANTS - 1,
    uniqueItems: true,
    description: 'The others',
  }),
  name: Type.Optional(GroupName),
  nonce: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      pattern: '^[\\x21-\\x7e]+$',
      description: 'For a group: a repeat answers what the first did',
    }),
  ),
})
export type NewConversation = Static<typeof NewConversation>

export const ConversationPatch = Shape('ConversationPatch', { name: Nullable(GroupName) })
export type ConversationPatch = Static<typeof ConversationPatch>

export const ParticipantParams = Fields({ channelId: Id, userId: Id })

/** What a conversation's own stream carries when its name or its participants have changed. */
export const ConversationChange = Shape('ConversationChange', {
  id: Id,
  name: Nullable(Type.String()),
  ownerId: Nullable(Id),
  participantIds: Type.Array(Id),
})
export type ConversationChange = Static<typeof ConversationChange>

/** How far a conversation has come with somebody. */
export const DeliveryState = Shape('DeliveryState', {
  channelId: Id,
  userId: Id,
  deliveredSeq: Type.Integer({ minimum: 0 }),
  readSeq: Type.Integer({ minimum: 0 }),
})
export type DeliveryState = Static<typeof DeliveryState>

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Fields, Id, Nullable, Shape, Timestamp } from './api/common.ts'
import { ContactSettings } from './api/contacts.ts'
import { Conversation, ConversationChange, DeliveryState } from './api/conversations.ts'
import { type CustomStatus, Role, User } from './api/identity.ts'
import { Message } from './api/messaging.ts'
import { type ChosenStatus, Presence } from './api/presence.ts'
import { ReadState } from './api/reads.ts'
import { Channel, ServerInfo } from './api/server.ts'
import { type VoiceEvent, type VoiceEventData, voiceEventKinds } from './voice.ts'

/** Which streams carry an event, by kind; an ephemeral one has no number there, is kept nowhere and never replayed. */
export type EventKind<S extends TSchema = TSchema> = {
  data: S
  streams: readonly ('channel' | 'server' | 'user')[]
  ephemeral: boolean
  description: string
}

const kept = <S extends TSchema>(streams: EventKind['streams'], description: string, data: S): EventKind<S> => ({
  ...{ data, streams, description },
  ephemeral: false,
})
const ephemeral = <S extends TSchema>(streams: EventKind['streams'], description: string, data: S): EventKind<S> => ({
  ...{ data, streams, description },
  ephemeral: true,
})

const JustId = Fields({ id: Id })
const ReactionChange = Fields({
  messageId: Id,
  channelId: Id,
  userId: Id,
  emoji: Type.String(),
  count: Type.Integer({ minimum: 0, description: 'How many have reacted with this emoji, now' }),
})
const LastSeq = Type.Integer({ minimum: 0, description: 'The last number of its stream' })

const GainedChannel = Shape('GainedChannel', {
  ...Channel.properties,
  lastSeq: LastSeq,
  lastReadSeq: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'How far one has read it; absent where many gained it at once: `GET /v1/unread` tells it',
    }),
  ),
})

/** Every event there is. Names are `<noun>.<past participle>`. */
export const eventKinds = {
  'message.created': kept(['channel'], 'Somebody has written a message.', Message),
  'message.edited': kept(
    ['channel'],
    'A message has changed: its text, or the state of a file that it carries.',
    Message,
  ),
  'message.deleted': kept(
    ['channel'],
    'A message is gone. `seq` is the one of its creation.',
    Fields({ id: Id, channelId: Id, seq: Type.Integer({ minimum: 1 }) }),
  ),
  'messages.expired': kept(
    ['channel'],
    'The channel keeps messages for a time: all whose `seq` is below `before` are gone, but for those in `kept`, which are pinned.',
    Fields({ channelId: Id, before: Type.Integer({ minimum: 2 }), kept: Type.Array(Id) }),
  ),
  'message.pinned': kept(
    ['channel'],
    'A message has been pinned.',
    Fields({ id: Id, channelId: Id, pinnedAt: Timestamp }),
  ),
  'message.unpinned': kept(['channel'], 'A message is pinned no more.', Fields({ id: Id, channelId: Id })),
  'reaction.added': kept(['channel'], 'Somebody has reacted to a message.', ReactionChange),
  'reaction.removed': kept(['channel'], "Somebody's reaction is gone.", ReactionChange),
  'reaction.cleared': kept(
    ['channel'],
    'All reactions of a message are gone.',
    Fields({ messageId: Id, channelId: Id }),
  ),
  'read.updated': kept(['user'], 'How far one has read a channel, on whichever device.', ReadState),
  'block.added': kept(['user'], 'One has blocked somebody, on whichever device.', Fields({ userId: Id })),
  'block.removed': kept(['user'], 'One has blocked somebody no more.', Fields({ userId: Id })),
  'contactSettings.updated': kept(['user'], 'Others may begin conversations with one, or may not.', ContactSettings),
  'channel.created': kept(
    ['server', 'channel'],
    "There is a channel: on the server's stream, or on its own where not everybody may see it.",
    Channel,
  ),
  'channel.updated': kept(
    ['server', 'channel'],
    "A channel has changed: on the server's stream, or on its own where not everybody may see it.",
    Channel,
  ),
  'channel.deleted': kept(['server'], 'A channel is gone.', JustId),
  'server.updated': kept(['server'], 'The name of the server, its settings or its limits have changed.', ServerInfo),
  'role.created': kept(['server'], 'There is a new role.', Role),
  'role.updated': kept(['server'], 'A role has changed: what it is called, what it allows or where it stands.', Role),
  'role.deleted': kept(['server'], 'A role is gone.', JustId),
  'member.joined': kept(
    ['server'],
    'Somebody has become a member.',
    Fields({ user: User, roleIds: Type.Array(Id), joinedAt: Timestamp }),
  ),
  'member.updated': kept(
    ['server'],
    'A member has other roles or another nickname, or may not speak for a while.',
    Fields({
      userId: Id,
      nickname: Nullable(Type.String()),
      roleIds: Type.Array(Id),
      timedOutUntil: Nullable(Timestamp),
    }),
  ),
  'member.left': kept(['server'], 'Somebody is a member no more.', Fields({ userId: Id })),
  'session.created': kept(['user'], 'One has logged in, on whichever device.', JustId),
  'session.revoked': kept(['user'], 'A session of one has ended.', JustId),
  'user.updated': kept(['server'], 'A profile has changed, or the account is gone.', User),
  'conversation.created': ephemeral(
    ['user'],
    'One takes part in a conversation from now on. Its stream goes on after `lastSeq`; `ready` restates the newest.',
    Conversation,
  ),
  'conversation.updated': kept(
    ['channel'],
    "A conversation's name or its participants have changed.",
    ConversationChange,
  ),
  'conversation.removed': ephemeral(['user'], 'One takes part in a conversation no more.', JustId),
  'conversation.closed': kept(
    ['user'],
    'One has taken a conversation out of the list, on whichever device, until there is a message after `lastSeq`.',
    Fields({ id: Id, lastSeq: LastSeq }),
  ),
  'conversation.reopened': kept(
    ['user'],
    'One has brought a conversation back into the list, on whichever device.',
    Conversation,
  ),
  'delivery.updated': ephemeral(['channel'], 'How far a conversation has come with somebody.', DeliveryState),
  'presence.updated': ephemeral(
    ['server', 'user'],
    "How members are there now, many at once. One's own comes on `user`, as one has chosen it; on `server` one is what the others see.",
    Fields({ presences: Type.Array(Presence) }),
  ),
  'typing.started': ephemeral(
    ['channel'],
    "Somebody is writing, until `expiresAt` or until their message comes. One's own comes as well.",
    Fields({ channelId: Id, userId: Id, expiresAt: Timestamp }),
  ),
  'access.changed': ephemeral(
    ['user'],
    'The channels that one sees from now on, whose streams go on after `lastSeq`, and those that one lost. `ready` restates it.',
    Fields({
      channels: Type.Array(GainedChannel),
      removed: Type.Array(Id),
    }),
  ),
  ...voiceEventKinds,
} as const satisfies Record<string, EventKind>
export type EventType = keyof typeof eventKinds

type EventSchemas = { [K in EventType]: (typeof eventKinds)[K]['data'] }

/** What each event carries in `d`. */
export const eventSchemas = Object.fromEntries(
  Object.entries(eventKinds).map(([type, { data }]) => [type, data]),
) as EventSchemas
export type EventData = { [K in EventType]: Static<EventSchemas[K]> }

/** `channel:<id>` for a channel or conversation; `server`; inside the server `user:<id>`, to its owner just `user`. */
export type StreamName = string

export const SERVER_STREAM = 'server'
export const channelStream = (channelId: string): StreamName => `channel:${channelId}`
export const userStream = (userId: string): StreamName => `user:${userId}`

/** The id of the channel that a stream belongs to, if it is a channel's. */
export const streamChannel = (stream: StreamName): string | undefined =>
  stream.startsWith('channel:') ? stream.slice('channel:'.length) : undefined

/** A stream as its readers know it: one's own user stream is just `user`. */
export const publicStream = (stream: StreamName): string => (stream.startsWith('user:') ? 'user' : stream)

/** How the frames of an event begin, as they are made here. */
function startOf(type: EventType): string {
  return `{"op":"event","t":"${type}",`
}

/** The frame as every client gets it, byte for byte: made once, where the event is recorded. `data` is JSON text. */
export function eventFrame(stream: StreamName, type: string, seq: number, at: string, data: string): string {
  const head = { op: 'event', t: type, stream: publicStream(stream), seq, at }
  return `${JSON.stringify(head).slice(0, -1)},"d":${data}}`
}

/** A frame that has no number and is kept nowhere. `data` is JSON text. */
export const ephemeralFrame = (stream: StreamName, type: EventType, at: string, data: string): string =>
  `{"op":"event","t":"${type}","stream":"${publicStream(stream)}","at":"${at}","d":${data}}`

/** The same for an event of calls. */
export const voiceFrame = <E extends VoiceEvent>(stream: StreamName, type: E, at: string, data: VoiceEventData[E]) =>
  ephemeralFrame(stream, type, at, JSON.stringify(data))

const VOICE_ENDINGS = (['voice.moved', 'voice.ended'] satisfies VoiceEvent[]).map(startOf)

/** Whether a frame, as `voiceFrame` makes it, says that the participation that it is for is over. */
export const isVoiceEnding = (frame: string): boolean => VOICE_ENDINGS.some((start) => frame.startsWith(start))

const VOICE_INTERRUPTED = startOf('voice.interrupted')

/** Whether a frame, as `voiceFrame` makes it, asks its reader to join again. */
export const isVoiceInterruption = (frame: string): boolean => frame.startsWith(VOICE_INTERRUPTED)

const CONVERSATION_UPDATED = startOf('conversation.updated')

/** What a frame, as `eventFrame` makes it, says of a conversation's participants; undefined for any other frame. */
export function conversationChange(frame: string): (ConversationChange & { version: number }) | undefined {
  if (!frame.startsWith(CONVERSATION_UPDATED)) return undefined
  const { seq, d } = JSON.parse(frame) as { seq: number; d: ConversationChange }
  return { ...d, version: seq }
}

const DELETIONS = (['message.deleted', 'messages.expired'] satisfies EventType[]).map(startOf)

/** Whether a frame, as `eventFrame` makes it, says that what earlier events of its stream carried is gone. */
export const isDeletion = (frame: string): boolean => DELETIONS.some((start) => frame.startsWith(start))

/** The bus subjects. Payloads are JSON text, but for `stream`: a frame. */
export const subjects = {
  /** One event of one stream: see `encodeNews`. */
  stream: (stream: StreamName) => `stream.${stream}`,
  /** Who takes part in a conversation, or its name, has changed: `ConversationNews`. */
  conversations: 'conversation.changed',
  /** What people may do has changed: `AuthorityChange`. */
  authority: 'authority.changed',
  /** A session has ended: `SessionRevocation`. */
  sessionRevoked: 'session.revoked',
  /** What the gateways tell each other of who is there: `PresenceWords`. */
  presence: 'presence',
  /** There are more stored audit events than before: an empty object. */
  auditStored: 'audit.stored',
} as const

/** The number, on the bus, of what has none: an ephemeral event. */
export const EPHEMERAL = -1

/** One event on the bus: its number, then its frame, so that a gateway passes the frame on without parsing it. */
export const encodeNews = (seq: number, frame: string): string => `${seq} ${frame}`
export function decodeNews(payload: string): { seq: number; frame: string } {
  const space = payload.indexOf(' ')
  return { seq: Number(payload.slice(0, space)), frame: payload.slice(space + 1) }
}

/** Without `userId`: roles, channels, overrides, settings. With it: one member's roles or standing. */
export type AuthorityChange = { userId?: string }
export type SessionRevocation = { sessionId: string; userId: string }

/** The conversation as it is after its stream's event `version`: who isn't in it has no part in it any more. */
export type ConversationNews = { version: number; conversation: Conversation }

/** One account's presence as one gateway's connections make it: `t` is when its custom status was said, 0 for never. */
export type SaidPresence = { u: string; s: ChosenStatus; c: CustomStatus | null; t: number }

/**
 * What a gateway says on `subjects.presence`. `g` is its name, new at each start, and `n` counts what it has changed: by
 * it the others notice that they have missed something.
 */
export type PresenceWords = { g: string; n: number } & (
  | { k: 'changed'; said: (SaidPresence | { u: string })[] }
  /** These sessions are connected again: nobody has to wait for them any more. */
  | { k: 'back'; sessions: { u: string; id: string }[] }
  /** It is alive. */
  | { k: 'alive' }
  /** All that it has, in parts. */
  | { k: 'all'; part: number; parts: number; said: SaidPresence[] }
  /** Everybody is to say all, at once or soon; or one gateway is. */
  | { k: 'ask'; of?: string; now?: boolean }
  /** It stops: what it said holds a while longer, until its clients have come back elsewhere. */
  | { k: 'leave' }
)

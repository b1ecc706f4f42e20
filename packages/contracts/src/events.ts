import type { Conversation, ConversationChange, DeliveryState } from './api/conversations.ts'
import type { Role, User } from './api/identity.ts'
import type { Message } from './api/messaging.ts'
import type { ReadState } from './api/reads.ts'
import type { Channel, ServerInfo } from './api/server.ts'

/** What each event carries in `d`. Names are `<noun>.<past participle>`. */
export type EventData = {
  'message.created': Message
  'message.edited': Message
  'message.deleted': { id: string; channelId: string; seq: number }
  'message.pinned': { id: string; channelId: string; pinnedAt: string }
  'message.unpinned': { id: string; channelId: string }
  /** `count`: how many have reacted with this emoji, now. */
  'reaction.added': { messageId: string; channelId: string; userId: string; emoji: string; count: number }
  'reaction.removed': { messageId: string; channelId: string; userId: string; emoji: string; count: number }
  /** All reactions of the message are gone. */
  'reaction.cleared': { messageId: string; channelId: string }
  /** On stream `user`: how far one has read, on whichever device. */
  'read.updated': ReadState
  'channel.created': Channel
  'channel.updated': Channel
  'channel.deleted': { id: string }
  'server.updated': ServerInfo
  'role.created': Role
  'role.updated': Role
  'role.deleted': { id: string }
  'member.joined': { user: User; roleIds: string[]; joinedAt: string }
  'member.updated': { userId: string; nickname: string | null; roleIds: string[]; timedOutUntil: string | null }
  'member.left': { userId: string }
  'session.created': { id: string }
  'session.revoked': { id: string }
  'user.updated': User
  /** Ephemeral, on stream `user`: one takes part in it from now on; `ready` restates the newest. */
  'conversation.created': Conversation
  /** In the conversation's own stream. */
  'conversation.updated': ConversationChange
  /** Ephemeral, on stream `user`: one takes part in it no more. */
  'conversation.removed': { id: string }
  /** Ephemeral, on the conversation's stream. */
  'delivery.updated': DeliveryState
  /** Ephemeral, on stream `user`: what the connection's own access gained or lost; `ready` always restates it. */
  'access.changed': { channels: (Channel & { lastSeq: number })[]; removed: string[] }
}
export type EventType = keyof EventData

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

/** The frame as every client gets it, byte for byte: made once, where the event is recorded. `data` is JSON text. */
export function eventFrame(stream: StreamName, type: string, seq: number, at: string, data: string): string {
  const head = { op: 'event', t: type, stream: publicStream(stream), seq, at }
  return `${JSON.stringify(head).slice(0, -1)},"d":${data}}`
}

/** A frame that has no number and is kept nowhere. `data` is JSON text. */
export const ephemeralFrame = (stream: StreamName, type: EventType, at: string, data: string): string =>
  `{"op":"event","t":"${type}","stream":"${publicStream(stream)}","at":"${at}","d":${data}}`

const CONVERSATION_UPDATED = '{"op":"event","t":"conversation.updated",'

/** What a frame, as `eventFrame` makes it, says of a conversation's participants; undefined for any other frame. */
export function conversationChange(frame: string): (ConversationChange & { version: number }) | undefined {
  if (!frame.startsWith(CONVERSATION_UPDATED)) return undefined
  const { seq, d } = JSON.parse(frame) as { seq: number; d: ConversationChange }
  return { ...d, version: seq }
}

const DELETION = '{"op":"event","t":"message.deleted",'

/** Whether a frame, as `eventFrame` makes it, says that what earlier events of its stream carried is gone. */
export const isDeletion = (frame: string): boolean => frame.startsWith(DELETION)

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

import type { Role, User } from './api/identity.ts'
import type { Message } from './api/messaging.ts'
import type { Channel, ServerInfo } from './api/server.ts'

/** What each event carries in `d`. Names are `<noun>.<past participle>`. */
export type EventData = {
  'message.created': Message
  'message.edited': Message
  'message.deleted': { id: string; channelId: string; seq: number }
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

const DELETION = '{"op":"event","t":"message.deleted",'

/** Whether a frame, as `eventFrame` makes it, says that what earlier events of its stream carried is gone. */
export const isDeletion = (frame: string): boolean => frame.startsWith(DELETION)

/** The bus subjects. Payloads are JSON text, but for `stream`: a frame. */
export const subjects = {
  /** One event of one stream: see `encodeNews`. */
  stream: (stream: StreamName) => `stream.${stream}`,
  /** What people may do has changed: `AuthorityChange`. */
  authority: 'authority.changed',
  /** A session has ended: `SessionRevocation`. */
  sessionRevoked: 'session.revoked',
} as const

/** One event on the bus: its number, then its frame, so that a gateway passes the frame on without parsing it. */
export const encodeNews = (seq: number, frame: string): string => `${seq} ${frame}`
export function decodeNews(payload: string): { seq: number; frame: string } {
  const space = payload.indexOf(' ')
  return { seq: Number(payload.slice(0, space)), frame: payload.slice(space + 1) }
}

/** Without `userId`: roles, channels, overrides, settings. With it: one member's roles or standing. */
export type AuthorityChange = { userId?: string }
export type SessionRevocation = { sessionId: string; userId: string }

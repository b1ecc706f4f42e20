import type {
  Channel,
  Conversation,
  Media,
  Message,
  NewMessage,
  OwnUser,
  Problem,
  Role,
  Server,
  User,
} from '../generated/types.gen.ts'

export type { Media }

/** What each event carries in `d`. */
export type Events = {
  'message.created': Message
  'message.edited': Message
  'message.deleted': { id: string; channelId: string; seq: number }
  'channel.created': Channel
  'channel.updated': Channel
  'channel.deleted': { id: string }
  'server.updated': Server
  'role.created': Role
  'role.updated': Role
  'role.deleted': { id: string }
  'member.joined': { user: User; roleIds: string[]; joinedAt: string }
  'member.updated': { userId: string; roleIds: string[] }
  'member.left': { userId: string }
  'session.created': { id: string }
  'session.revoked': { id: string }
  'user.updated': User
  'conversation.created': Conversation
  'conversation.updated': { id: string; name: string | null; ownerId: string | null; participantIds: string[] }
  'conversation.removed': { id: string }
  'delivery.updated': { channelId: string; userId: string; deliveredSeq: number; readSeq: number }
  'access.changed': { channels: (Channel & { lastSeq: number })[]; removed: string[] }
}

export type Hello = {
  op: 'hello'
  heartbeatMs: number
  connectionId: string
  limits: { maxFrameBytes: number; framesPerSecond: number; identifyMs: number }
}
export type Ready = {
  op: 'ready'
  user: OwnUser
  server: Server
  roles: Role[]
  channels: (Channel & { lastSeq: number })[]
  /** The newest; the streams of all are followed. */
  dms: Conversation[]
  presences: unknown[]
  voiceStates: unknown[]
  streams: Record<string, number>
  resumed: boolean
}
/** One event. Within a stream `seq` rises by one; an event without it is ephemeral. */
export type StreamEvent<T extends keyof Events = keyof Events> = {
  op: 'event'
  t: T
  stream: string
  seq?: number
  d: Events[T]
  at: string
}
export type Reset = { op: 'reset'; stream: string; seq: number }
export type Reply =
  | { op: 'reply'; id: number; ok: true; d: unknown }
  | { op: 'reply'; id: number; ok: false; error: Problem }
export type ServerFrame = Hello | Ready | StreamEvent | Reset | Reply | { op: 'reconnect' }

export type OutgoingMessage = NewMessage & { channelId: string }

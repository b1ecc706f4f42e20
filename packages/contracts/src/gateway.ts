import { type Static, Type } from '@sinclair/typebox'
import { Fields, Id, type Problem } from './api/common.ts'
import type { OwnUser } from './api/identity.ts'
import type { Channel, Conversation, Role, ServerInfo } from './api/index.ts'
import { NewMessage } from './api/messaging.ts'
import { ReadMark } from './api/reads.ts'

const id = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

/** The frames that a client may send, by `op`. Unknown fields and ops are refused. */
export const clientFrames = {
  identify: Fields({
    op: Type.Literal('identify'),
    id,
    token: Type.String({ maxLength: 4096 }),
    cursors: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.Integer({ minimum: 0 }))),
  }),
  heartbeat: Fields({ op: Type.Literal('heartbeat'), id }),
  refresh: Fields({ op: Type.Literal('refresh'), id, token: Type.String({ maxLength: 4096 }) }),
  delivered: Fields({ op: Type.Literal('delivered'), id, channelId: Id, seq: Type.Integer({ minimum: 1 }) }),
  'message.send': Fields({ op: Type.Literal('message.send'), id, channelId: Id, ...NewMessage.properties }),
  read: Fields({ op: Type.Literal('read'), id, channelId: Id, ...ReadMark.properties }),
} as const
export type ClientFrame = {
  [K in keyof typeof clientFrames]: Static<(typeof clientFrames)[K]>
}[keyof typeof clientFrames]

export type HelloFrame = {
  op: 'hello'
  heartbeatMs: number
  connectionId: string
  limits: { maxFrameBytes: number; framesPerSecond: number; identifyMs: number }
}
export type ReadyFrame = {
  op: 'ready'
  user: OwnUser
  server: ServerInfo
  roles: Role[]
  channels: (Channel & { lastSeq: number; lastReadSeq: number })[]
  /** The newest of one's conversations; the streams of all are followed. */
  dms: Conversation[]
  presences: never[]
  voiceStates: never[]
  streams: Record<string, number>
  resumed: boolean
}
export type EventFrame = { op: 'event'; t: string; stream: string; seq?: number; d: unknown; at: string }
export type ResetFrame = { op: 'reset'; stream: string; seq: number }
export type ReconnectFrame = { op: 'reconnect' }
export type ReplyFrame =
  | { op: 'reply'; id: number; ok: true; d: unknown }
  | { op: 'reply'; id: number; ok: false; error: Problem }
export type ServerFrame = HelloFrame | ReadyFrame | EventFrame | ResetFrame | ReconnectFrame | ReplyFrame

/** Why a gateway closes a connection. */
export const closeCodes = {
  goingAway: 1001,
  unsupportedData: 1003,
  tooBig: 1009,
  notIdentified: 4001,
  malformed: 4002,
  authenticationFailed: 4003,
  sessionRevoked: 4004,
  tooManyFrames: 4007,
  tooSlow: 4008,
  heartbeatMissed: 4009,
  tooManyConnections: 4010,
  /** A part of the server is away for the moment. */
  tryAgainLater: 1013,
} as const

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Fields, Id, Problem, Shape, Timestamp } from './api/common.ts'
import { DmsFrom } from './api/contacts.ts'
import { Conversation } from './api/conversations.ts'
import { OwnUser, Role } from './api/identity.ts'
import { Message, NewMessage } from './api/messaging.ts'
import { ChosenPresence, Presence, presenceFields, READY_PRESENCES } from './api/presence.ts'
import { ReadMark, ReadState } from './api/reads.ts'
import { Channel, ServerInfo } from './api/server.ts'
import { type EventType, eventKinds } from './events.ts'
import { VoiceState, voiceClientFrames, voiceReplyData } from './voice.ts'

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

const RequestId = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Asks for a `reply`, which repeats it',
})
const id = Type.Optional(RequestId)
const Token = Type.String({ maxLength: 4096, description: 'An access token or an API token' })
const Seq = Type.Integer({ minimum: 0 })

/**
 * How many cursors a client may bring. A server has up to 1,000 channels, and a person some thousand conversations;
 * more, since a client may also name some that are gone. All of them fit into one frame.
 */
export const MAX_CURSORS = 8_000

/** The frames that a client may send, by `op`. Unknown fields and ops are refused. */
export const clientFrames = {
  identify: Fields({
    op: Type.Literal('identify'),
    id,
    token: Token,
    cursors: Type.Optional(
      Type.Record(Type.String(), Seq, {
        maxProperties: MAX_CURSORS,
        description: 'To go on where one left off: of each stream the last number that one has',
      }),
    ),
    presence: Type.Optional(ChosenPresence),
  }),
  heartbeat: Fields({ op: Type.Literal('heartbeat'), id }),
  refresh: Fields({ op: Type.Literal('refresh'), id, token: Token }),
  delivered: Fields({ op: Type.Literal('delivered'), id, channelId: Id, seq: Type.Integer({ minimum: 1 }) }),
  'message.send': Fields({ op: Type.Literal('message.send'), id, channelId: Id, ...NewMessage.properties }),
  read: Fields({ op: Type.Literal('read'), id, channelId: Id, ...ReadMark.properties }),
  typing: Fields({ op: Type.Literal('typing'), id, channelId: Id }),
  presence: Fields({ op: Type.Literal('presence'), id, ...presenceFields }),
  ...voiceClientFrames,
} as const
export type ClientFrame = {
  [K in keyof typeof clientFrames]: Static<(typeof clientFrames)[K]>
}[keyof typeof clientFrames]

const Nothing = Fields({})

/** What a reply to each op carries in `d`. */
export const replyData = {
  identify: Nothing,
  heartbeat: Nothing,
  refresh: Nothing,
  delivered: Nothing,
  'message.send': Message,
  read: ReadState,
  typing: Nothing,
  presence: Presence,
  ...voiceReplyData,
} as const satisfies Record<keyof typeof clientFrames, TSchema>

const Head = Type.Integer({ minimum: 0, description: 'The last number of its stream' })
const milliseconds = (description: string) => Type.Integer({ minimum: 1, description })

/** The frames that a gateway sends beside events and replies, by `op`. */
export const serverFrames = {
  hello: Fields({
    op: Type.Literal('hello'),
    heartbeatMs: milliseconds('How often a heartbeat is expected, in milliseconds'),
    connectionId: Id,
    limits: Fields({
      maxFrameBytes: Type.Integer({ minimum: 1, description: 'Bytes of the largest frame that is taken' }),
      framesPerSecond: Type.Number({
        minimum: 0,
        description: 'Frames that a connection may send in the long run; 0 for any number',
      }),
      identifyMs: milliseconds('How long a connection may stay without having identified, in milliseconds'),
    }),
  }),
  ready: Fields({
    op: Type.Literal('ready'),
    user: OwnUser,
    server: ServerInfo,
    roles: Type.Array(Role),
    channels: Type.Array(
      Shape('ReadyChannel', {
        ...Channel.properties,
        lastSeq: Head,
        lastReadSeq: Type.Integer({ minimum: 0, description: 'Up to where one has read it' }),
      }),
      { description: 'Those that one sees' },
    ),
    dms: Type.Array(Conversation, {
      description: "The newest hundred of one's conversations; the streams of all are followed",
    }),
    blocks: Type.Array(Id, { description: 'Everybody whom one has blocked, by their ids' }),
    dmsFrom: DmsFrom,
    presence: Presence,
    presences: Type.Array(Presence, {
      maxItems: READY_PRESENCES,
      description: 'Some of those who are there, whom one talks with first; `GET /v1/presences` lists all',
    }),
    presenceCount: Type.Integer({ minimum: 0, description: 'How many are there' }),
    voiceStates: Type.Array(VoiceState, { description: 'Who is in the calls of the channels that one sees' }),
    streams: Type.Record(Type.String(), Seq, {
      description: 'Every stream that one follows, with its last number',
    }),
    resumed: Type.Boolean({ description: 'Whether `identify` brought cursors' }),
  }),
  reset: Fields({
    op: Type.Literal('reset'),
    stream: Type.String(),
    seq: Type.Integer({ minimum: 0, description: 'Where the stream stands, and goes on from' }),
  }),
  reconnect: Fields({ op: Type.Literal('reconnect') }),
} as const

export type HelloFrame = Static<typeof serverFrames.hello>
export type ReadyFrame = Static<typeof serverFrames.ready>
export type ResetFrame = Static<typeof serverFrames.reset>
export type ReconnectFrame = Static<typeof serverFrames.reconnect>
/** An event as it is passed on, whatever it carries: `eventSchemas` says what. */
export type EventFrame = { op: 'event'; t: string; stream: string; seq?: number; d: unknown; at: string }

const streamNames = {
  server: Type.Literal('server', { description: 'What everybody may know' }),
  user: Type.Literal('user', { description: "One's own" }),
  channel: Type.String({
    pattern: `^channel:${UUID}$`,
    description: 'Of a channel that one sees, or of a conversation that one takes part in',
  }),
} as const

/** How an event comes: with a number of its stream, unless it is ephemeral. */
export function eventFrameOf(type: EventType) {
  const { data, streams, ephemeral } = eventKinds[type]
  const names = streams.map((kind) => streamNames[kind])
  return Fields({
    op: Type.Literal('event'),
    t: Type.Literal(type),
    stream: names.length === 1 ? names[0]! : Type.Union(names),
    ...(ephemeral ? {} : { seq: Type.Integer({ minimum: 1, description: 'Rises by one within its stream' }) }),
    at: Timestamp,
    d: data,
  })
}

/** The reply to an op that was done. */
export const okFrame = <S extends TSchema>(data: S) =>
  Fields({ op: Type.Literal('reply'), id: RequestId, ok: Type.Literal(true), d: data })

/** The reply to an op that was refused. */
export const FailedFrame = Fields({ op: Type.Literal('reply'), id: RequestId, ok: Type.Literal(false), error: Problem })
export type ReplyFrame = { op: 'reply'; id: number; ok: true; d: unknown } | Static<typeof FailedFrame>
export type ServerFrame = HelloFrame | ReadyFrame | EventFrame | ResetFrame | ReconnectFrame | ReplyFrame

/** What a client does after a connection has been closed. */
export type ComeBack = 'resume' | 'later' | 'newToken' | 'never'

const closing = (code: number, comeBack: ComeBack, description: string) => ({ code, comeBack, description })

/** Why a gateway closes a connection. */
export const closings = {
  goingAway: closing(1001, 'resume', 'The server goes away.'),
  unsupportedData: closing(1003, 'never', 'A binary frame.'),
  tooBig: closing(1009, 'never', 'A frame over `limits.maxFrameBytes`.'),
  tryAgainLater: closing(1013, 'later', 'A part of the server is away for the moment.'),
  notIdentified: closing(4001, 'resume', 'Not identified in time.'),
  malformed: closing(
    4002,
    'never',
    "A frame that is none: not a JSON object, an unknown `op` or field, values that don't fit and no `id` to say so.",
  ),
  authenticationFailed: closing(4003, 'newToken', 'The token is not valid, or has expired.'),
  sessionRevoked: closing(4004, 'never', 'The session was ended, or the account may not be here any more.'),
  tooManyFrames: closing(4007, 'later', 'Too many frames.'),
  tooSlow: closing(4008, 'resume', 'Too slow to take what was sent.'),
  heartbeatMissed: closing(4009, 'resume', 'No heartbeat.'),
  tooManyConnections: closing(4010, 'later', 'Too many connections of this account.'),
} as const

export const closeCodes = Object.fromEntries(Object.entries(closings).map(([name, { code }]) => [name, code])) as {
  readonly [K in keyof typeof closings]: number
}

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Shape, Timestamp } from './api/common.ts'
import type { EventKind } from './events.ts'
import {
  DtlsParameters,
  IceParameters,
  RtpCapabilities,
  RtpParameters,
  VoiceKind,
  VoiceTransport,
} from './voice/rtp.ts'

export * from './voice/board.ts'
export * from './voice/rtp.ts'
export * from './voice/words.ts'

/** How many may be in one call, whatever a deployment is told. */
export const MAX_CALL_PARTICIPANTS = 1_000
/** How many streams one person may send into a call at once, of each source. */
export const MAX_PRODUCERS = { microphone: 1, camera: 2, screen: 2, screenAudio: 2 } as const
/** How many producers one call may have. */
export const MAX_CALL_PRODUCERS = 4_000

/** How somebody is in a call, as all who see the channel may know. */
export const VoiceState = Shape('VoiceState', {
  userId: Id,
  channelId: Id,
  joinedAt: Timestamp,
  selfMuted: Type.Boolean({ description: 'Sends no microphone, or has paused it' }),
  selfDeafened: Type.Boolean({ description: 'Wants to hear nobody' }),
  muted: Type.Boolean({ description: 'By a moderator' }),
  deafened: Type.Boolean({ description: 'By a moderator' }),
  suppressed: Type.Boolean({ description: 'May not speak here for want of the permission `voice.speak`' }),
  camera: Type.Boolean(),
  screen: Type.Boolean(),
})
export type VoiceState = Static<typeof VoiceState>

/** What a stream shows. A microphone takes `voice.speak`, a camera `voice.video`, a screen and its sound `voice.share`. */
export const VoiceSource = Enumeration(['microphone', 'camera', 'screen', 'screenAudio'], { title: 'VoiceSource' })
export type VoiceSource = Static<typeof VoiceSource>

export const VoiceProducer = Shape('VoiceProducer', {
  id: Id,
  userId: Id,
  kind: VoiceKind,
  source: VoiceSource,
  paused: Type.Boolean({ description: 'By its owner, a moderator or a missing permission' }),
})
export type VoiceProducer = Static<typeof VoiceProducer>

const VoiceDirection = Enumeration(['send', 'recv'], { title: 'VoiceDirection' })
export type VoiceDirection = Static<typeof VoiceDirection>

/** What of a participation is still there when somebody comes back to it. */
const Kept = Fields({
  transports: Type.Array(Fields({ id: Id, direction: VoiceDirection })),
  producerIds: Type.Array(Id),
  consumerIds: Type.Array(Id),
})

/** The call as it is when one joins it. What changes afterwards comes as events. */
export const VoiceJoined = Shape('VoiceJoined', {
  channelId: Id,
  callId: Id,
  participantId: Id,
  resumed: Type.Boolean({ description: 'Whether the participation named by `resume` goes on' }),
  rtpCapabilities: RtpCapabilities,
  states: Type.Array(VoiceState, { maxItems: MAX_CALL_PARTICIPANTS }),
  producers: Type.Array(VoiceProducer, { maxItems: MAX_CALL_PRODUCERS }),
  kept: Kept,
})
export type VoiceJoined = Static<typeof VoiceJoined>

export const VoiceConsumer = Shape('VoiceConsumer', {
  id: Id,
  producerId: Id,
  kind: VoiceKind,
  rtpParameters: RtpParameters,
  type: Enumeration(['simple', 'simulcast', 'svc']),
  paused: Type.Literal(true, { description: 'Until `voice.resumeConsumer`' }),
})
export type VoiceConsumer = Static<typeof VoiceConsumer>

const count = () => Type.Optional(Type.Number({ minimum: 0 }))

/** How the media fares, as the server measures it: bits per second, milliseconds, packets. */
export const VoiceStats = Shape('VoiceStats', {
  transports: Type.Array(
    Fields({
      id: Id,
      direction: VoiceDirection,
      iceState: Enumeration(['new', 'connected', 'completed', 'disconnected', 'closed']),
      dtlsState: Enumeration(['new', 'connecting', 'connected', 'failed', 'closed']),
      protocol: Type.Optional(Enumeration(['udp', 'tcp'])),
      receiveBitrate: count(),
      sendBitrate: count(),
    }),
  ),
  streams: Type.Array(
    Fields({
      id: Id,
      of: Enumeration(['producer', 'consumer']),
      kind: VoiceKind,
      bitrate: count(),
      packets: count(),
      lost: count(),
      jitter: count(),
      roundTripMs: count(),
      score: count(),
    }),
  ),
})
export type VoiceStats = Static<typeof VoiceStats>

const id = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
const frame = <const Op extends string, P extends Record<string, TSchema>>(op: Op, fields: P) =>
  Fields({ op: Type.Literal(op), id, ...fields })

/** What a participant asks for, apart from who asks; the same over the WebSocket and between gateway and node. */
export const voiceFields = {
  join: {
    channelId: Id,
    rtpCapabilities: RtpCapabilities,
    resume: Type.Optional(Type.String({ ...Id, description: "A participation of one's own, by its `participantId`" })),
    selfDeafened: Type.Optional(Type.Boolean()),
  },
  createTransport: { direction: VoiceDirection },
  connectTransport: { transportId: Id, dtlsParameters: DtlsParameters },
  produce: {
    transportId: Id,
    kind: VoiceKind,
    source: VoiceSource,
    rtpParameters: RtpParameters,
    paused: Type.Optional(Type.Boolean()),
  },
  consume: { transportId: Id, producerId: Id },
  resumeConsumer: { consumerId: Id },
  setPreferredLayers: {
    consumerId: Id,
    spatialLayer: Type.Integer({ minimum: 0, maximum: 8 }),
    temporalLayer: Type.Optional(Type.Integer({ minimum: 0, maximum: 8 })),
  },
  /** A producer, a consumer, or, with neither, everything that one hears. */
  pausing: { producerId: Type.Optional(Id), consumerId: Type.Optional(Id) },
  closeProducer: { producerId: Id },
  restartIce: { transportId: Id },
} as const

/** The frames of a call that a client may send, by `op`. */
export const voiceClientFrames = {
  'voice.join': frame('voice.join', voiceFields.join),
  'voice.leave': frame('voice.leave', {}),
  'voice.createTransport': frame('voice.createTransport', voiceFields.createTransport),
  'voice.connectTransport': frame('voice.connectTransport', voiceFields.connectTransport),
  'voice.produce': frame('voice.produce', voiceFields.produce),
  'voice.consume': frame('voice.consume', voiceFields.consume),
  'voice.resumeConsumer': frame('voice.resumeConsumer', voiceFields.resumeConsumer),
  'voice.setPreferredLayers': frame('voice.setPreferredLayers', voiceFields.setPreferredLayers),
  'voice.pause': frame('voice.pause', voiceFields.pausing),
  'voice.resume': frame('voice.resume', voiceFields.pausing),
  'voice.closeProducer': frame('voice.closeProducer', voiceFields.closeProducer),
  'voice.restartIce': frame('voice.restartIce', voiceFields.restartIce),
  'voice.stats': frame('voice.stats', {}),
} as const
export type VoiceOp = keyof typeof voiceClientFrames
export type VoiceFrame = { [K in VoiceOp]: Static<(typeof voiceClientFrames)[K]> }[VoiceOp]

const Nothing = Fields({})
export const VoiceProduced = Fields({ producerId: Id })
export const VoiceIce = Fields({ iceParameters: IceParameters })

/** What a reply to each op carries in `d`. */
export const voiceReplyData = {
  'voice.join': VoiceJoined,
  'voice.leave': Nothing,
  'voice.createTransport': VoiceTransport,
  'voice.connectTransport': Nothing,
  'voice.produce': VoiceProduced,
  'voice.consume': VoiceConsumer,
  'voice.resumeConsumer': Nothing,
  'voice.setPreferredLayers': Nothing,
  'voice.pause': Nothing,
  'voice.resume': Nothing,
  'voice.closeProducer': Nothing,
  'voice.restartIce': VoiceIce,
  'voice.stats': VoiceStats,
} as const satisfies Record<VoiceOp, TSchema>

const ephemeral = <S extends TSchema>(streams: EventKind['streams'], description: string, data: S): EventKind<S> => ({
  ...{ data, streams, description },
  ephemeral: true,
})
const OfCall = { channelId: Id }

/**
 * Why a participation is over. `elsewhere`: one has joined a call from another connection; `disconnected`: by a
 * moderator; `forbidden`: a permission, the session or the membership is gone; `lost`: nothing was heard of one for too
 * long; `ended`: the channel, or the part of the server that held the call, is no more.
 */
export const VoiceEnding = Enumeration(['elsewhere', 'disconnected', 'forbidden', 'lost', 'ended'], {
  title: 'VoiceEnding',
})
export type VoiceEnding = Static<typeof VoiceEnding>

/** Every event of calls. Who sees the channel hears of the states on its stream; the rest is for participants alone. */
export const voiceEventKinds = {
  'voice.joined': ephemeral(['channel'], 'Somebody is in a call. `ready` restates all.', VoiceState),
  'voice.updated': ephemeral(['channel'], 'Somebody in a call is muted, shows a camera, or the reverse.', VoiceState),
  'voice.left': ephemeral(['channel'], 'Somebody is in a call no more.', Fields({ channelId: Id, userId: Id })),
  'voice.producerAdded': ephemeral(
    ['user'],
    'Somebody sends into the call that one is in.',
    Fields({ ...OfCall, producer: VoiceProducer }),
  ),
  'voice.producerUpdated': ephemeral(
    ['user'],
    'Something in the call that one is in is paused, or goes on.',
    Fields({ ...OfCall, producer: VoiceProducer }),
  ),
  'voice.producerRemoved': ephemeral(
    ['user'],
    'Something in the call is over, and so is what one received of it.',
    Fields({ ...OfCall, producerId: Id, userId: Id }),
  ),
  'voice.producerWatched': ephemeral(
    ['user'],
    'Whether anybody receives what one sends: of a camera or a screen that nobody does, nothing need be sent. Until told otherwise somebody does, also after joining again.',
    Fields({ ...OfCall, producerId: Id, watched: Type.Boolean() }),
  ),
  'voice.activeSpeakers': ephemeral(
    ['user'],
    'Who is heard now, the loudest first; nobody when there is silence.',
    Fields({
      ...OfCall,
      speakers: Type.Array(
        Fields({ userId: Id, level: Type.Integer({ minimum: -127, maximum: 0, description: 'dBov' }) }),
        { maxItems: 16 },
      ),
    }),
  ),
  'voice.ringing': ephemeral(
    ['user'],
    'Somebody has begun a call in a conversation of one’s. It is said again every few seconds, until `voice.ringingStopped` or `expiresAt`.',
    Fields({
      ...OfCall,
      callId: Id,
      userId: Type.String({ ...Id, description: 'Who calls' }),
      expiresAt: Timestamp,
    }),
  ),
  'voice.ringingStopped': ephemeral(
    ['user'],
    'One is called no more, on whichever device; or, in the call that one is in, somebody else is.',
    Fields({
      ...OfCall,
      callId: Id,
      userId: Type.String({ ...Id, description: 'Who was called' }),
      reason: Enumeration(['answered', 'declined', 'expired', 'ended'], { title: 'RingingEnd' }),
    }),
  ),
  'voice.moved': ephemeral(
    ['user'],
    'A moderator wants one in another channel: this participation is over, and `to` is to be joined.',
    Fields({ ...OfCall, to: Id }),
  ),
  'voice.interrupted': ephemeral(
    ['user'],
    'Something may have been missed: join again with `resume`, at once. Unless `media`, all transports are gone.',
    Fields({ ...OfCall, media: Type.Boolean() }),
  ),
  'voice.ended': ephemeral(
    ['user'],
    'One is in the call no more.',
    Fields({ ...OfCall, reason: VoiceEnding, rejoin: Type.Boolean({ description: 'Whether joining anew may help' }) }),
  ),
} as const satisfies Record<`voice.${string}`, EventKind>
export type VoiceEvent = keyof typeof voiceEventKinds
export type VoiceEventData = { [K in VoiceEvent]: Static<(typeof voiceEventKinds)[K]['data']> }

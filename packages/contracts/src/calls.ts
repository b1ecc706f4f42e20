import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './api/common.ts'
import { MAX_CALL_PARTICIPANTS, VoiceState } from './voice.ts'

/** A channel's call as it is now, be it looked at by whomever sees the channel. */
export const CallStatus = Shape('CallStatus', {
  channelId: Id,
  callId: Type.Union([Id, Type.Null()], { description: 'Null while nobody is in a call here' }),
  startedAt: Nullable(Timestamp),
  participants: Type.Array(VoiceState, { maxItems: MAX_CALL_PARTICIPANTS }),
})
export type CallStatus = Static<typeof CallStatus>

export const CallParticipantParams = Fields({ channelId: Id, userId: Id })

export const MoveParticipant = Shape('MoveParticipant', {
  channelId: Type.String({ ...Id, description: 'Where they are to be: another channel with calls' }),
})
export type MoveParticipant = Static<typeof MoveParticipant>

export const IcePolicy = Enumeration(['all', 'relay'], { title: 'IcePolicy' })
export type IcePolicy = Static<typeof IcePolicy>

const IceServer = Shape('IceServer', {
  urls: Type.Array(Type.String(), { minItems: 1 }),
  username: Type.Optional(Type.String()),
  credential: Type.Optional(Type.String()),
})

/** What an `RTCPeerConnection` is made with, besides the candidates that a transport's answer brings. */
export const IceServers = Shape('IceServers', {
  iceServers: Type.Array(IceServer, { description: 'As `RTCConfiguration.iceServers`; empty where none are set up' }),
  expiresAt: Type.Union([Timestamp, Type.Null()], {
    description: 'Until when the credentials open new relays; null where there are none',
  }),
  iceTransportPolicy: IcePolicy,
})
export type IceServers = Static<typeof IceServers>

export const VoiceFinding = Shape('VoiceFinding', {
  about: Type.String(),
  state: Enumeration(['ok', 'warning', 'fault']),
  told: Type.String({ description: 'What was found, in words' }),
  remedy: Nullable(Type.String({ description: 'What to do about it' })),
})
export type VoiceFinding = Static<typeof VoiceFinding>

export const VoiceNodeFindings = Fields({ nodeId: Id, findings: Type.Array(VoiceFinding) })

/** Whether media gets to the server, as far as it can tell from inside. `state` is the worst of the findings. */
export const VoiceSelfTest = Shape('VoiceSelfTest', {
  at: Timestamp,
  state: Enumeration(['ok', 'warning', 'fault']),
  nodes: Type.Array(VoiceNodeFindings),
})
export type VoiceSelfTest = Static<typeof VoiceSelfTest>

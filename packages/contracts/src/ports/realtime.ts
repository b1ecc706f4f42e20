import { Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Timestamp } from '../api/common.ts'
import { ServiceHealth, VoiceStatus } from '../api/system.ts'
import { VoiceNodeFindings } from '../calls.ts'
import {
  MAX_CALL_PARTICIPANTS,
  VoiceConsumer,
  VoiceIce,
  VoiceJoined,
  VoiceProduced,
  VoiceState,
  VoiceStats,
  VoiceTransport,
  voiceFields,
} from '../voice.ts'
import { OnBehalf } from './messaging.ts'
import { definePort, type PortOf } from './port.ts'

const Nothing = Fields({})

/** Where a participant's client is connected: notices for it go to that gateway, for that connection. */
export const VoicePlace = Fields({ gatewayId: Id, connectionId: Id })

/**
 * Who asks in a call, as the answer to `voiceJoin` named it; what belongs to another connection is not found. With
 * `nodeId` it is brought there, also by a node that has not heard of the call yet.
 */
export const VoiceParticipant = Fields({
  ...{ channelId: Id, participantId: Id, userId: Id, connectionId: Id },
  nodeId: Type.Optional(Id),
})

/** Set by nodes among themselves: the one that is to do it, without asking on. */
const at = Type.Optional(Id)
const asked = <P extends object>(fields: P) => Fields({ at, participant: VoiceParticipant, ...fields })
const { join, pausing } = voiceFields

/** What a moderator may do with somebody in a call. `voice.moderate` for the first four, `voice.move` for the others. */
export const VoiceModeration = Enumeration(['mute', 'unmute', 'deafen', 'undeafen', 'move', 'disconnect'])

/**
 * What gateways ask in calls. The call of a channel is in one place: any node takes any of these, and brings it there.
 * Faults are `voice.*`, channel.notFound (404), access.forbidden (403); voice.away (503) where no media worker is.
 */
export const voiceOperations = {
  /**
   * Brings somebody into a channel's call, which begins with the first; ends what they were in before. With `resume`
   * they go on with what they had, at this place from now on. `notice` is the number of the last notice told to them.
   * @throws voice.notAVoiceChannel (409), voice.full (409), channel.notFound, access.forbidden, voice.away (503)
   */
  voiceJoin: {
    // Who joins twice from one connection is there once.
    repeatable: true,
    request: Fields({ at, caller: OnBehalf, place: VoicePlace, ...join }),
    response: Fields({ joined: VoiceJoined, nodeId: Id, notice: Type.Integer({ minimum: 0 }) }),
  },
  voiceLeave: { repeatable: true, request: asked({}), response: Nothing },
  /** The participant's connection is gone: they may come back for a while. */
  voiceDetach: { repeatable: true, request: asked({}), response: Nothing },
  /** A second one of a direction takes the place of the first. */
  voiceCreateTransport: { repeatable: true, request: asked(voiceFields.createTransport), response: VoiceTransport },
  voiceConnectTransport: { repeatable: true, request: asked(voiceFields.connectTransport), response: Nothing },
  voiceProduce: { request: asked(voiceFields.produce), response: VoiceProduced },
  /** The same again answers the same consumer. It is paused at first. */
  voiceConsume: { repeatable: true, request: asked(voiceFields.consume), response: VoiceConsumer },
  voiceResumeConsumer: { repeatable: true, request: asked(voiceFields.resumeConsumer), response: Nothing },
  voiceSetPreferredLayers: { repeatable: true, request: asked(voiceFields.setPreferredLayers), response: Nothing },
  voicePause: { repeatable: true, request: asked(pausing), response: Nothing },
  voiceResume: { repeatable: true, request: asked(pausing), response: Nothing },
  voiceCloseProducer: { repeatable: true, request: asked(voiceFields.closeProducer), response: Nothing },
  voiceRestartIce: { repeatable: true, request: asked(voiceFields.restartIce), response: VoiceIce },
  voiceStats: { repeatable: true, request: asked({}), response: VoiceStats },
  /**
   * For `POST /v1/channels/{id}/call/participants/{userId}/…`; `to` with `move` alone. Recorded before it is done.
   * @throws voice.notInCall (404), voice.cannotMoveThere (409), access.forbidden (403)
   */
  voiceModerate: {
    request: Fields({
      at,
      caller: OnBehalf,
      reason: Nullable(Type.String()),
      channelId: Id,
      userId: Id,
      action: VoiceModeration,
      to: Type.Optional(Id),
    }),
    response: Nothing,
  },
  /** Somebody doesn't want to be called any more. Nothing where they aren't. */
  voiceDecline: { repeatable: true, request: Fields({ at, channelId: Id, userId: Id }), response: Nothing },
  /** The call that runs in a channel, asked where it is. */
  voiceCall: {
    repeatable: true,
    request: Fields({ at, channelId: Id }),
    response: Fields({
      call: Nullable(
        Fields({
          id: Id,
          startedAt: Timestamp,
          states: Type.Array(VoiceState, { maxItems: MAX_CALL_PARTICIPANTS }),
        }),
      ),
    }),
  },
  /** Whether media gets to each node, in words. */
  voiceSelfTest: {
    repeatable: true,
    request: Fields({ at }),
    response: Fields({ nodes: Type.Array(VoiceNodeFindings) }),
  },
  /** Who is in a channel's call, or in any. */
  voiceStates: {
    repeatable: true,
    request: Fields({ channelId: Type.Optional(Id) }),
    response: Fields({ states: Type.Array(VoiceState, { maxItems: MAX_CALL_PARTICIPANTS * 100 }) }),
  },
} as const

export const realtimePort = definePort({
  service: 'realtime',
  operations: {
    voiceStatus: { repeatable: true, request: Nothing, response: VoiceStatus },
    ...voiceOperations,
    health: { repeatable: true, request: Nothing, response: ServiceHealth },
  },
})
export type RealtimePort = PortOf<typeof realtimePort>
export type VoicePort = PortOf<{ service: 'realtime'; operations: typeof voiceOperations }>

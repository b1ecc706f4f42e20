import {
  CallParticipantParams,
  CallStatus,
  ChannelParams,
  MoveParticipant,
  type RealtimePort,
  type VoicePort,
} from '@conntext/contracts'
import { type AccessOptions, access, type Caller, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'

const Nothing = Type.Void()
const PARTICIPANTS = '/v1/channels/:channelId/call/participants/:userId'
const BELOW = 'Oneself, or who stands below one’s own highest role. The reason goes into `X-Audit-Reason`.'

type Port = Pick<RealtimePort, 'voiceCall' | 'voiceDecline' | 'voiceModerate'>
type Moderate = Parameters<VoicePort['voiceModerate']>[0]

/** A moderator's route: what it needs, and how it is told of. */
const moderating = <const P extends 'voice.moderate' | 'voice.move'>(can: P, operationId: string, summary: string) => ({
  can,
  params: CallParticipantParams,
  response: { 204: Nothing },
  detail: {
    operationId,
    summary,
    description: BELOW,
    tags: ['Calls'],
    ...refusals({
      404: 'There is no such channel, or they are not in its call',
      409:
        can === 'voice.move'
          ? 'There are no calls in this channel, or they could not join the other one'
          : 'There are no calls in this channel',
      503: 'The part of the server that has the call can’t be reached for the moment',
    }),
  },
})

/** Calls as they are now, and what moderators do in them; any instance takes these for a call that is at any other. */
export const callRoutes = (deps: { access: AccessOptions; port: Port }) => {
  const moderate = (
    caller: Caller,
    { channelId, userId }: { channelId: string; userId: string },
    action: Pick<Moderate, 'action' | 'to'>,
  ) => deps.port.voiceModerate({ ...onBehalfOf(caller), channelId, userId, ...action })

  return new Elysia({ normalize: false })
    .use(access(deps.access))
    .get('/v1/channels/:channelId/call', ({ params }) => statusOf(deps.port, params.channelId), {
      can: 'channel.view',
      params: ChannelParams,
      response: { 200: CallStatus },
      detail: {
        operationId: 'getCall',
        summary: 'Whether a call runs in a channel, since when, and who is in it',
        tags: ['Calls'],
        ...refusals({ 503: 'The part of the server that has the call can’t be reached for the moment' }),
      },
    })
    .post(
      '/v1/channels/:channelId/call/decline',
      async ({ caller, params, status }) => {
        await deps.port.voiceDecline({ channelId: params.channelId, userId: caller.userId })
        return status(204, undefined)
      },
      {
        can: 'voice.connect',
        params: ChannelParams,
        response: { 204: Nothing },
        detail: {
          operationId: 'declineCall',
          summary: 'Be called no more to the call of a conversation, on any device',
          tags: ['Calls'],
          ...refusals({ 503: 'The part of the server that has the call can’t be reached for the moment' }),
        },
      },
    )
    .post(
      `${PARTICIPANTS}/mute`,
      async ({ caller, params, status }) => {
        await moderate(caller, params, { action: 'mute' })
        return status(204, undefined)
      },
      moderating('voice.moderate', 'muteParticipant', 'Mute somebody until they are unmuted or the call is over'),
    )
    .post(
      `${PARTICIPANTS}/unmute`,
      async ({ caller, params, status }) => {
        await moderate(caller, params, { action: 'unmute' })
        return status(204, undefined)
      },
      moderating('voice.moderate', 'unmuteParticipant', 'Let somebody be heard again'),
    )
    .post(
      `${PARTICIPANTS}/deafen`,
      async ({ caller, params, status }) => {
        await moderate(caller, params, { action: 'deafen' })
        return status(204, undefined)
      },
      moderating('voice.moderate', 'deafenParticipant', 'Keep somebody from hearing the call'),
    )
    .post(
      `${PARTICIPANTS}/undeafen`,
      async ({ caller, params, status }) => {
        await moderate(caller, params, { action: 'undeafen' })
        return status(204, undefined)
      },
      moderating('voice.moderate', 'undeafenParticipant', 'Let somebody hear the call again'),
    )
    .post(
      `${PARTICIPANTS}/move`,
      async ({ caller, params, body, status }) => {
        await moderate(caller, params, { action: 'move', to: body.channelId })
        return status(204, undefined)
      },
      {
        ...moderating('voice.move', 'moveParticipant', 'Send somebody to the call of another channel'),
        parse: 'json',
        body: MoveParticipant,
      },
    )
    .post(
      `${PARTICIPANTS}/disconnect`,
      async ({ caller, params, status }) => {
        await moderate(caller, params, { action: 'disconnect' })
        return status(204, undefined)
      },
      moderating('voice.move', 'disconnectParticipant', 'Take somebody out of the call, which they may join again'),
    )
}

const onBehalfOf = ({ reason, scopes, ...who }: Caller): Pick<Moderate, 'caller' | 'reason'> => ({
  caller: { ...who, scopes: scopes && [...scopes] },
  reason,
})

async function statusOf(port: Port, channelId: string): Promise<CallStatus> {
  const { call } = await port.voiceCall({ channelId })
  return {
    channelId,
    callId: call?.id ?? null,
    startedAt: call?.startedAt ?? null,
    participants: call?.states ?? [],
  }
}

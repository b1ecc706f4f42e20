import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './api/common.ts'

/** Of how many participants a call names the ids: those who came first. */
export const MAX_CALL_NAMES = 100
/** How many participations a node tells of at once. */
export const MAX_CALL_REPORTS = 200

/**
 * Why somebody was in a call no more. `left`, `elsewhere` (joined a call from another connection), `moved` and
 * `disconnected` (by a moderator), `forbidden` (a permission, the session or the membership was gone), `lost` (nothing
 * was heard of them), `ended` (the channel is no more), `interrupted` (the part of the server that had the call stopped),
 * `unheard` (it died: the end is when it was last heard of).
 */
export const CallEnding = Enumeration(
  ['left', 'elsewhere', 'moved', 'disconnected', 'forbidden', 'lost', 'ended', 'interrupted', 'unheard'],
  { title: 'CallEnding' },
)
export type CallEnding = Static<typeof CallEnding>

const Seconds = Type.Integer({ minimum: 0, description: 'How long, so far' })
const Streams = {
  spoke: Type.Boolean({ description: 'Was heard at least once' }),
  camera: Type.Boolean({ description: 'Showed a camera' }),
  screen: Type.Boolean({ description: 'Shared a screen' }),
}

/** A call that was, or still is, in a channel or conversation. */
export const CallRecord = Shape('CallRecord', {
  id: Id,
  channelId: Id,
  startedAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()], { description: 'Null while somebody is in it' }),
  ending: Type.Union([CallEnding, Type.Null()], { description: 'Why the last one was in it no more' }),
  seconds: Seconds,
  peakParticipants: Type.Integer({ minimum: 0, description: 'How many were in it at once, at most' }),
  participantCount: Type.Integer({
    minimum: 0,
    description: 'How many people were in it, but for accounts that are gone',
  }),
  participantIds: Type.Array(Id, { maxItems: MAX_CALL_NAMES, description: 'The first hundred of them to join' }),
})
export type CallRecord = Static<typeof CallRecord>
export const CallPage = Page('CallPage', CallRecord)

/** Somebody in a call from joining to leaving: whoever left and joined again was in it twice. */
export const CallParticipation = Shape('CallParticipation', {
  id: Id,
  userId: Id,
  joinedAt: Timestamp,
  leftAt: Type.Union([Timestamp, Type.Null()], { description: 'Null for who is in it' }),
  ending: Nullable(CallEnding),
  seconds: Seconds,
  ...Streams,
})
export type CallParticipation = Static<typeof CallParticipation>
export const CallParticipationPage = Page('CallParticipationPage', CallParticipation)

export const CallsQuery = Fields({
  limit: Limit,
  cursor: Cursor,
  channelId: Type.Optional(Id),
  userId: Type.Optional(
    Type.Union([Id, Type.Literal('@me')], { description: 'Calls that they were in; `@me` for oneself' }),
  ),
})
export type CallsQuery = Static<typeof CallsQuery>

export const CallParams = Fields({
  callId: Type.String({ ...Id, description: 'Its `id`, or the `callId` that joining it answered' }),
})

/** A call that somebody was in, as they get it with everything of theirs. */
export const ExportedCall = Shape('ExportedCall', {
  callId: Id,
  channelId: Id,
  joinedAt: Timestamp,
  leftAt: Nullable(Timestamp),
  ending: Nullable(CallEnding),
  ...Streams,
})
export type ExportedCall = Static<typeof ExportedCall>

/** A participation as its node tells of it: from when it begins, again while it lasts, and when it is over. */
export const CallReport = Fields({
  id: Id,
  /** What its node calls the call; that is another name for one that came from another node. */
  callId: Id,
  channelId: Id,
  userId: Id,
  joinedAt: Timestamp,
  leftAt: Nullable(Timestamp),
  ending: Nullable(CallEnding),
  ...Streams,
  /** How many were in the call at once, at most, so far. */
  peak: Type.Integer({ minimum: 1 }),
})
export type CallReport = Static<typeof CallReport>

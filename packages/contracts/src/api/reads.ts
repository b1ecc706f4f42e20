import { type Static, Type } from '@sinclair/typebox'
import { Fields, Id, Shape } from './common.ts'

const Seq = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

export const ReadMark = Shape('ReadMark', { seq: Seq })
export type ReadMark = Static<typeof ReadMark>

/** Up to where somebody has read a channel, as a number of its stream; 0 for nothing. */
export const ReadState = Fields({ channelId: Id, lastReadSeq: Seq })
export type ReadState = Static<typeof ReadState>

export const MAX_UNREAD = 999

export const ChannelUnread = Shape('ChannelUnread', {
  channelId: Id,
  lastReadSeq: Seq,
  lastSeq: Type.Integer({ minimum: 0, description: "Where the channel's stream stands: up to here it is counted" }),
  unread: Type.Integer({
    minimum: 0,
    maximum: MAX_UNREAD,
    description: `Messages of others after lastReadSeq; ${MAX_UNREAD} stands for that many or more`,
  }),
  mentions: Type.Integer({
    minimum: 0,
    maximum: MAX_UNREAD,
    description: `Those of them that call the caller; ${MAX_UNREAD} stands for that many or more`,
  }),
})
export type ChannelUnread = Static<typeof ChannelUnread>

/** Of every channel that the caller may see. */
export const UnreadOverview = Shape('UnreadOverview', { items: Type.Array(ChannelUnread) })
export type UnreadOverview = Static<typeof UnreadOverview>

import { type Static, Type } from '@sinclair/typebox'
import { Fields, Timestamp } from '../api/common.ts'

const Stream = Type.String({ pattern: '^(server|(channel|user):[0-9a-f-]{36})$' })
export const MAX_HEADS = 10_000
export const MAX_EVENTS = 500

/** One event of a stream, with the frame that every client gets. */
export const StreamEvent = Fields({ seq: Type.Integer({ minimum: 1 }), frame: Type.String() })
export type StreamEvent = Static<typeof StreamEvent>

/** What an owner of streams offers to the gateways: where each stream stands, and what somebody missed. */
export const streamOperations = {
  /** The last number of each stream, 0 where nothing has happened; `oldest` is the first one still in the log. */
  streamHeads: {
    repeatable: true,
    request: Fields({ streams: Type.Array(Stream, { maxItems: MAX_HEADS }) }),
    response: Fields({ heads: Type.Record(Type.String(), Type.Integer({ minimum: 0 })) }),
  },
  /**
   * Events after `after`, ascending and gapless, up to `limit`. `truncated`: the log no longer reaches back that far.
   */
  streamEvents: {
    repeatable: true,
    request: Fields({
      stream: Stream,
      after: Type.Integer({ minimum: 0 }),
      limit: Type.Integer({ minimum: 1, maximum: MAX_EVENTS }),
    }),
    response: Fields({ events: Type.Array(StreamEvent), truncated: Type.Boolean() }),
  },
} as const

/** An event that another service asks the owner of a stream to append; `id` makes a repeat harmless. */
export const StreamAppend = Fields({
  id: Type.String(),
  stream: Stream,
  type: Type.String(),
  at: Timestamp,
  data: Type.Unknown(),
})
export type StreamAppend = Static<typeof StreamAppend>

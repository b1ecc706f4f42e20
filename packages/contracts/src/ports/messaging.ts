import { Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Problem } from '../api/common.ts'
import { PermissionName } from '../api/identity.ts'
import { Message, NewMessage } from '../api/messaging.ts'
import { ServiceHealth } from '../api/system.ts'
import { definePort, type PortOf } from './port.ts'
import { StreamAppend, streamOperations } from './streams.ts'

/** Who is behind a call that a gateway passes on. The gateway has verified the token; permissions are checked here. */
export const OnBehalf = Fields({
  userId: Id,
  sessionId: Id,
  kind: Enumeration(['user', 'bot']),
  /** All that an API token may be used for; null for who is logged in. */
  scopes: Nullable(Type.Array(PermissionName)),
  address: Nullable(Type.String()),
  userAgent: Nullable(Type.String()),
  requestId: Type.String(),
})

export const MAX_SENDS = 100

export const messagingPort = definePort({
  service: 'messaging',
  operations: {
    ...streamOperations,
    /**
     * The same as `POST /v1/channels/{id}/messages`, for `message.send` over the WebSocket: what one caller sends without
     * waiting, in that order. Each has an outcome of its own, in the same place.
     */
    sendMessages: {
      request: Fields({
        caller: OnBehalf,
        sends: Type.Array(Fields({ channelId: Id, message: NewMessage }), { minItems: 1, maxItems: MAX_SENDS }),
      }),
      response: Type.Array(Type.Union([Fields({ message: Message }), Fields({ problem: Problem })])),
    },
    /** News of a channel that not everyone may see, for the channel's own stream. */
    appendEvents: {
      request: Fields({ events: Type.Array(StreamAppend, { maxItems: 500 }) }),
      response: Fields({}),
    },
    /** Removes what a deleted channel held: messages, events, and media that nothing else uses. */
    channelDeleted: { request: Fields({ channelId: Id }), response: Fields({}) },
    health: { request: Fields({}), response: ServiceHealth },
  },
})
export type MessagingPort = PortOf<typeof messagingPort>

import { Type } from '@sinclair/typebox'
import { AuditActor } from '../api/audit.ts'
import { Enumeration, Fields, Id, Nullable, Problem, Timestamp } from '../api/common.ts'
import { ContactSettings, MAX_BLOCKS } from '../api/contacts.ts'
import { Conversation, READY_CONVERSATIONS } from '../api/conversations.ts'
import { PermissionName } from '../api/identity.ts'
import { Media } from '../api/media.ts'
import { Message, NewMessage } from '../api/messaging.ts'
import { ReadMark, ReadState } from '../api/reads.ts'
import { MediaStorage, ServiceHealth, StoredTable } from '../api/system.ts'
import { ExportedMessage } from '../api/users.ts'
import { CallReport, ExportedCall, MAX_CALL_REPORTS } from '../call-history.ts'
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
export const MAX_MEMBERSHIPS = 1_000
export const MAX_DELIVERIES = 500

/**
 * Where a picture is shown: `server`, or `user:<id>`. One that is shown in several places is given up in each by itself.
 */
const PictureHolder = Type.Optional(
  Type.String({ pattern: '^(server|user:[0-9a-f-]{36})$', description: '`server` unless told' }),
)

/** Where a page of somebody's messages ended. */
const WrittenPlace = Fields({ channelId: Id, seq: Type.Integer({ minimum: 1 }) })

export const messagingPort = definePort({
  service: 'messaging',
  operations: {
    ...streamOperations,
    /**
     * The same as `POST /v1/channels/{id}/messages`, for `message.send` over the WebSocket: what one caller sends without
     * waiting, in that order. Each has an outcome of its own, in the same place.
     */
    sendMessages: {
      // What was sent already is known by its nonce.
      repeatable: ({ sends }: { sends: { message: { nonce?: string } }[] }) =>
        sends.every(({ message }) => message.nonce !== undefined),
      request: Fields({
        caller: OnBehalf,
        sends: Type.Array(Fields({ channelId: Id, message: NewMessage }), { minItems: 1, maxItems: MAX_SENDS }),
      }),
      response: Type.Array(Type.Union([Fields({ message: Message }), Fields({ problem: Problem })])),
    },
    /** The same as `PUT /v1/channels/{id}/read`, for `read` over the WebSocket. */
    markRead: {
      repeatable: true,
      request: Fields({ caller: OnBehalf, channelId: Id, seq: ReadMark.properties.seq }),
      response: ReadState,
    },
    /** How far somebody has read, for each channel in which they have read anything. */
    readStates: {
      repeatable: true,
      request: Fields({ userId: Id }),
      response: Fields({ states: Type.Array(ReadState) }),
    },
    /** Whom somebody has blocked, and who may begin a conversation with them. */
    contactsOf: {
      repeatable: true,
      request: Fields({ userId: Id }),
      response: Fields({ blocks: Type.Array(Id, { maxItems: MAX_BLOCKS }), ...ContactSettings.properties }),
    },
    /** News of a channel that not everyone may see, for the channel's own stream. */
    appendEvents: {
      repeatable: true,
      request: Fields({ events: Type.Array(StreamAppend, { maxItems: 500 }) }),
      response: Fields({}),
    },
    /** Removes what a deleted channel held: messages, events, and media that nothing else uses. */
    channelDeleted: { repeatable: true, request: Fields({ channelId: Id }), response: Fields({}) },
    /**
     * Deletes what somebody has written since then, as if each message were deleted by itself, and audits it once. `id`
     * is the caller's for this deletion: a repeat finishes what was begun, and changes nothing more.
     */
    deleteMessagesOf: {
      repeatable: true,
      request: Fields({ id: Id, userId: Id, since: Timestamp, actor: AuditActor }),
      response: Fields({}),
    },
    /**
     * An account is gone: takes nothing more from it, deletes its uploads that no message carries, and all its messages
     * where the person wished so. May be repeated.
     */
    userDeleted: {
      repeatable: true,
      request: Fields({ userId: Id, messages: Enumeration(['keep', 'delete']) }),
      response: Fields({}),
    },
    /**
     * Lets every member see a picture, and keeps its uploader from deleting it. May be repeated.
     * @throws media.notFound (404), also for other people's; media.notAnImage, media.imageTooLarge (422)
     */
    publishImage: {
      repeatable: true,
      request: Fields({ mediaId: Id, userId: Id, holder: PictureHolder }),
      response: Fields({}),
    },
    /** The picture is shown there no more. May be repeated, and asked of what was never published. */
    withdrawImage: { repeatable: true, request: Fields({ mediaId: Id, holder: PictureHolder }), response: Fields({}) },
    /**
     * Somebody has joined: says so in the server's own channel, where it has one. `id` tells this joining from every
     * other: it is said once, however often it is told.
     */
    memberJoined: { repeatable: true, request: Fields({ id: Id, userId: Id }), response: Fields({}) },
    /** What somebody has written and not deleted, wherever that was, a page at a time: for their own copy of it. */
    writtenBy: {
      repeatable: true,
      request: Fields({ userId: Id, after: Type.Optional(WrittenPlace) }),
      response: Fields({ items: Type.Array(ExportedMessage), next: Nullable(WrittenPlace) }),
    },
    /** What is known of somebody's files, a page at a time. */
    filesOf: {
      repeatable: true,
      request: Fields({ userId: Id, after: Type.Optional(Id) }),
      response: Fields({ items: Type.Array(Media), next: Nullable(Id) }),
    },
    /** The calls that somebody was in, a page at a time; `after` and `next` are participations. */
    callsOf: {
      repeatable: true,
      request: Fields({ userId: Id, after: Type.Optional(Id) }),
      response: Fields({ items: Type.Array(ExportedCall), next: Nullable(Id) }),
    },
    /**
     * Takes down who is and was in calls. Whatever is told again changes nothing; what isn't told of for a while counts
     * as over since then.
     */
    recordCalls: {
      repeatable: true,
      request: Fields({ reports: Type.Array(CallReport, { maxItems: MAX_CALL_REPORTS }) }),
      response: Fields({}),
    },
    /**
     * The conversations that somebody takes part in, by id, after `after`; the first page also tells the newest of them
     * in full. `next`, where there are more.
     */
    conversationsOf: {
      repeatable: true,
      request: Fields({ userId: Id, after: Type.Optional(Id) }),
      response: Fields({
        memberships: Type.Array(Fields({ id: Id, version: Type.Integer({ minimum: 0 }) }), {
          maxItems: MAX_MEMBERSHIPS,
        }),
        newest: Type.Array(Conversation, { maxItems: READY_CONVERSATIONS }),
        next: Nullable(Id),
      }),
    },
    /** One conversation, for who serves it; null where there is none. */
    conversation: {
      repeatable: true,
      request: Fields({ channelId: Id }),
      response: Nullable(Fields({ version: Type.Integer({ minimum: 0 }), conversation: Conversation })),
    },
    /**
     * Nothing, where the others in a conversation take what somebody writes there; whether they may write at all is another
     * question. @throws conversation.notAccepted (403), conversation.blocked (409)
     */
    assertAccepted: { repeatable: true, request: Fields({ userId: Id, channelId: Id }), response: Fields({}) },
    /** What has reached a device of somebody's. Leaves alone what isn't theirs, or is known already. */
    acknowledgeDeliveries: {
      repeatable: true,
      request: Fields({
        userId: Id,
        deliveries: Type.Array(Fields({ channelId: Id, seq: Type.Integer({ minimum: 1 }) }), {
          maxItems: MAX_DELIVERIES,
        }),
      }),
      response: Fields({}),
    },
    /** How much the Communication database and the files take up; `media` is null where counting takes too long. */
    storage: {
      repeatable: true,
      request: Fields({}),
      response: Fields({
        bytes: Type.Integer({ minimum: 0 }),
        tables: Type.Array(StoredTable),
        media: Nullable(MediaStorage),
      }),
    },
    health: { repeatable: true, request: Fields({}), response: ServiceHealth },
  },
})
export type MessagingPort = PortOf<typeof messagingPort>

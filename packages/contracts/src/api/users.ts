import { type Static, Type } from '@sinclair/typebox'
import { ExportedCall } from '../call-history.ts'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'
import { DmsFrom } from './contacts.ts'
import { Confirmation, OwnUser, PermissionName, Session } from './identity.ts'
import { Media } from './media.ts'
import { MessageType } from './messaging.ts'

/** How one leaves for good: what becomes of one's messages, and proof that it is still oneself. */
export const UserDeletion = Shape('UserDeletion', {
  messages: Enumeration(['keep', 'delete'] as const),
  ...Confirmation,
})
export type UserDeletion = Static<typeof UserDeletion>

/** A message as its author gets it with everything of theirs: their words, and nobody else's. */
export const ExportedMessage = Shape('ExportedMessage', {
  id: Id,
  channelId: Id,
  type: MessageType,
  content: Type.String(),
  replyTo: Nullable(Id),
  mediaIds: Type.Array(Id),
  createdAt: Timestamp,
  editedAt: Nullable(Timestamp),
})
export type ExportedMessage = Static<typeof ExportedMessage>

/** All that the server holds of a person, but for secrets. */
export const UserExport = Shape('UserExport', {
  exportedAt: Timestamp,
  account: Fields({
    ...OwnUser.properties,
    nickname: Nullable(Type.String()),
    emailVerifiedAt: Nullable(Timestamp),
    passwordChangedAt: Nullable(Timestamp),
    joinedAt: Timestamp,
    timedOutUntil: Nullable(Timestamp),
  }),
  roles: Type.Array(Fields({ id: Id, name: Type.String() })),
  sessions: Type.Array(Session),
  authenticatorApp: Nullable(Fields({ createdAt: Timestamp })),
  recoveryCodesLeft: Type.Integer({ minimum: 0 }),
  passkeys: Type.Array(Fields({ id: Id, name: Type.String(), createdAt: Timestamp, lastUsedAt: Nullable(Timestamp) })),
  identities: Type.Array(
    Fields({
      provider: Type.String(),
      subject: Type.String(),
      createdAt: Timestamp,
      lastUsedAt: Nullable(Timestamp),
    }),
  ),
  apiTokens: Type.Array(
    Fields({
      id: Id,
      userId: Id,
      name: Type.String(),
      scopes: Type.Array(PermissionName),
      createdAt: Timestamp,
      expiresAt: Nullable(Timestamp),
      lastUsedAt: Nullable(Timestamp),
    }),
  ),
  bots: Type.Array(Fields({ id: Id, username: Type.String(), createdAt: Timestamp })),
  dmsFrom: DmsFrom,
  blocks: Type.Array(Id, { description: 'Those whom they have blocked' }),
  files: Type.Array(Media),
  calls: Type.Array(ExportedCall, { description: 'That they were in, as far as it is still known' }),
  messages: Type.Array(ExportedMessage, {
    description: 'What they have written and not deleted, also where they no longer look: by channel, in its order',
  }),
})
export type UserExport = Static<typeof UserExport>

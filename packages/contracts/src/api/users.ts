import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'
import { DmsFrom } from './contacts.ts'
import { Confirmation, OwnUser, PermissionName, Session } from './identity.ts'

/** How one leaves for good: what becomes of one's messages, and proof that it is still oneself. */
export const UserDeletion = Shape('UserDeletion', {
  messages: Enumeration(['keep', 'delete'] as const),
  ...Confirmation,
})
export type UserDeletion = Static<typeof UserDeletion>

/** All that the server holds of a person, but for their messages and files, and but for secrets. */
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
})
export type UserExport = Static<typeof UserExport>

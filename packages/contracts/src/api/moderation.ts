import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'
import { OpaqueToken, User } from './identity.ts'

/** All who have the role, or whose user name, display name or nickname begins like that, whatever the case. */
export const MembersQuery = Fields({
  limit: Limit,
  cursor: Cursor,
  roleId: Type.Optional(Id),
  query: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
})
export type MembersQuery = Static<typeof MembersQuery>

export const MemberRoleParams = Fields({ id: Id, roleId: Id })

/** Somebody who has left becomes a member again: with an invite's code unless the server is open to all. */
export const JoinRequest = Shape('JoinRequest', { inviteCode: Type.Optional(OpaqueToken) })
export type JoinRequest = Static<typeof JoinRequest>

export const Ban = Shape('Ban', {
  user: User,
  bannedBy: Id,
  reason: Nullable(Type.String()),
  createdAt: Timestamp,
  expiresAt: Nullable(Timestamp),
})
export type Ban = Static<typeof Ban>
export const BanPage = Page('BanPage', Ban)

export const NewBan = Shape('NewBan', {
  userId: Id,
  expiresInSeconds: Type.Optional(
    Nullable(Type.Integer({ minimum: 60, maximum: 31_536_000, description: 'Without it the ban stays until lifted' })),
  ),
  deleteMessagesSeconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 604_800, description: 'How far back their messages are deleted as well' }),
  ),
})
export type NewBan = Static<typeof NewBan>

export const BanParams = Fields({ userId: Id })

export const NewTimeout = Shape('NewTimeout', {
  expiresInSeconds: Type.Integer({ minimum: 60, maximum: 2_419_200, description: 'At most 28 days' }),
})
export type NewTimeout = Static<typeof NewTimeout>

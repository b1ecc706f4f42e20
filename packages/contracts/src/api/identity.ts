import { type Static, Type } from '@sinclair/typebox'
import { permissionNames } from '../permissions.ts'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'

export const PermissionName = Enumeration(permissionNames, { title: 'Permission' })

/** Letters, digits, `.`, `_` and `-`; unique without regard to case. */
export const Username = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$', description: '2 to 32 characters' })
export const Password = Type.String({ minLength: 8, maxLength: 256 })
const Email = Type.String({ format: 'email', maxLength: 254 })
const Token = Type.String({ minLength: 1, maxLength: 512 })

export const User = Shape('User', {
  id: Id,
  username: Type.String(),
  displayName: Nullable(Type.String()),
  createdAt: Timestamp,
})
export type User = Static<typeof User>

/** What only the person may see of their own account. */
export const OwnUser = Shape('OwnUser', { ...User.properties, email: Nullable(Type.String()), isOwner: Type.Boolean() })
export type OwnUser = Static<typeof OwnUser>

export const UserPatch = Shape('UserPatch', {
  displayName: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 64 }))),
  email: Type.Optional(Nullable(Email)),
})
export type UserPatch = Static<typeof UserPatch>

export const Registration = Shape('Registration', {
  username: Username,
  password: Password,
  email: Type.Optional(Email),
  inviteCode: Type.Optional(Token),
  setupCode: Type.Optional(Token),
})
export type Registration = Static<typeof Registration>

export const LoginRequest = Shape('LoginRequest', {
  login: Type.String({ minLength: 1, maxLength: 254, description: 'User name or email address' }),
  password: Type.String({ minLength: 1, maxLength: 256 }),
})
export type LoginRequest = Static<typeof LoginRequest>

export const RefreshRequest = Shape('RefreshRequest', { refreshToken: Token })

/** The answer to register, log in and refresh. */
export const Authenticated = Shape('Authenticated', {
  user: OwnUser,
  session: Fields({ id: Id }),
  accessToken: Type.String({ description: 'A JWT signed with Ed25519' }),
  accessTokenExpiresAt: Timestamp,
  refreshToken: Type.String({ description: 'Opaque; each works once' }),
  refreshTokenExpiresAt: Timestamp,
})
export type Authenticated = Static<typeof Authenticated>

export const Session = Shape('Session', {
  id: Id,
  current: Type.Boolean({ description: 'Whether this request was made with it' }),
  createdAt: Timestamp,
  lastUsedAt: Timestamp,
  address: Nullable(Type.String({ description: 'Where it was last used from' })),
  userAgent: Nullable(Type.String()),
})
export type Session = Static<typeof Session>
export const SessionPage = Page('SessionPage', Session)

export const JsonWebKeySet = Shape('JsonWebKeySet', {
  keys: Type.Array(
    Fields({
      kty: Type.Literal('OKP'),
      crv: Type.Literal('Ed25519'),
      x: Type.String(),
      kid: Type.String(),
      alg: Type.Literal('EdDSA'),
      use: Type.Literal('sig'),
    }),
  ),
})
export type JsonWebKeySet = Static<typeof JsonWebKeySet>

export const Role = Shape('Role', {
  id: Id,
  name: Type.String(),
  colour: Nullable(Type.String({ pattern: '^#[0-9a-f]{6}$' })),
  position: Type.Integer({ minimum: 0, description: '0 is @everyone; the higher decides' }),
  permissions: Type.Array(PermissionName),
  isEveryone: Type.Boolean(),
  createdAt: Timestamp,
})
export type Role = Static<typeof Role>
export const RolePage = Page('RolePage', Role)

const RoleFields = {
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' }),
  colour: Type.Optional(Nullable(Type.String({ pattern: '^#[0-9a-f]{6}$' }))),
  permissions: Type.Optional(Type.Array(PermissionName, { maxItems: 64, uniqueItems: true })),
}
export const NewRole = Shape('NewRole', RoleFields)
export type NewRole = Static<typeof NewRole>
export const RolePatch = Shape('RolePatch', { ...RoleFields, name: Type.Optional(RoleFields.name) })
export type RolePatch = Static<typeof RolePatch>

export const Member = Shape('Member', {
  user: User,
  nickname: Nullable(Type.String()),
  roleIds: Type.Array(Id),
  joinedAt: Timestamp,
})
export type Member = Static<typeof Member>
export const MemberPage = Page('MemberPage', Member)

export const MemberPatch = Shape('MemberPatch', {
  roleIds: Type.Optional(Type.Array(Id, { maxItems: 100, uniqueItems: true })),
})
export type MemberPatch = Static<typeof MemberPatch>

export const PermissionCatalogue = Shape('PermissionCatalogue', {
  items: Type.Array(
    Shape('PermissionDescription', {
      name: PermissionName,
      scope: Enumeration(['server', 'channel']),
      title: Type.String(),
    }),
  ),
})

/** Without a channel: by the roles alone. Without a user: one's own. */
export const EffectiveQuery = Fields({ channelId: Type.Optional(Id), userId: Type.Optional(Id) })
export type EffectiveQuery = Static<typeof EffectiveQuery>

export const EffectivePermissions = Shape('EffectivePermissions', {
  userId: Id,
  channelId: Nullable(Id),
  permissions: Type.Array(PermissionName),
})
export type EffectivePermissions = Static<typeof EffectivePermissions>

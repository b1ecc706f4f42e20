import { type Static, Type } from '@sinclair/typebox'
import { permissionNames } from '../permissions.ts'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'

export const PermissionName = Enumeration(permissionNames, { title: 'Permission' })

/** Letters, digits, `.`, `_` and `-`; unique without regard to case. */
export const Username = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$', description: '2 to 32 characters' })
export const Password = Type.String({ minLength: 8, maxLength: 256 })
export const Email = Type.String({ format: 'email', maxLength: 254 })
export const OpaqueToken = Type.String({ minLength: 1, maxLength: 512 })

/** What somebody says of themselves for a while. */
export const CustomStatus = Shape('CustomStatus', {
  text: Nullable(Type.String()),
  emoji: Nullable(Type.String()),
  expiresAt: Nullable(Timestamp),
})
export type CustomStatus = Static<typeof CustomStatus>

export const UserKind = Enumeration(['user', 'bot'])

export const User = Shape('User', {
  id: Id,
  kind: UserKind,
  username: Type.String(),
  displayName: Nullable(Type.String()),
  avatarId: Nullable(Id),
  status: Nullable(CustomStatus),
  isDeleted: Type.Boolean({ description: 'Whether the account is gone: what is left of it is its id' }),
  createdAt: Timestamp,
})
export type User = Static<typeof User>

/** What only the person may see of their own account. */
export const OwnUser = Shape('OwnUser', {
  ...User.properties,
  email: Nullable(Type.String()),
  emailVerified: Type.Boolean(),
  isOwner: Type.Boolean(),
  isMember: Type.Boolean({ description: 'False for who has left or was kicked, and may join again' }),
  hasPassword: Type.Boolean(),
  mfaEnabled: Type.Boolean({ description: 'Whether logging in takes a second factor' }),
})
export type OwnUser = Static<typeof OwnUser>

/**
 * Proof that it is still the person: what they have of the two, the password before the code. Whoever has neither must
 * have logged in within the last ten minutes.
 */
export const Confirmation = {
  password: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  code: Type.Optional(
    Type.String({ minLength: 6, maxLength: 32, description: 'A code of the authenticator app, or a recovery code' }),
  ),
}
export const ConfirmationBody = Shape('Confirmation', Confirmation)
export type Confirmation = Static<typeof ConfirmationBody>

// Validators count UTF-16 units before a name is normalised: the limit proper is for the service to hold.
const DisplayedName = Type.String({ minLength: 1, maxLength: 256, description: 'At most 64 characters' })

/** A new email address takes a confirmation. */
export const UserPatch = Shape('UserPatch', {
  displayName: Type.Optional(Nullable(DisplayedName)),
  email: Type.Optional(Nullable(Email)),
  avatarId: Type.Optional(Nullable(Id)),
  status: Type.Optional(
    Nullable(
      Fields({
        text: Type.Optional(
          Nullable(Type.String({ minLength: 1, maxLength: 512, description: 'At most 128 characters' })),
        ),
        emoji: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 64, description: 'One emoji' }))),
        expiresInSeconds: Type.Optional(Nullable(Type.Integer({ minimum: 60, maximum: 31_536_000 }))),
      }),
    ),
  ),
  ...Confirmation,
})
export type UserPatch = Static<typeof UserPatch>

export const Registration = Shape('Registration', {
  username: Username,
  password: Password,
  email: Type.Optional(Email),
  inviteCode: Type.Optional(OpaqueToken),
  setupCode: Type.Optional(OpaqueToken),
})
export type Registration = Static<typeof Registration>

export const LoginRequest = Shape('LoginRequest', {
  login: Type.String({ minLength: 1, maxLength: 254, description: 'User name or email address' }),
  password: Type.String({ minLength: 1, maxLength: 256 }),
})
export type LoginRequest = Static<typeof LoginRequest>

export const RefreshRequest = Shape('RefreshRequest', { refreshToken: OpaqueToken })

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

export const SecondFactor = Enumeration(['totp', 'recoveryCode', 'passkey'], { title: 'SecondFactor' })
export type SecondFactor = Static<typeof SecondFactor>

/** The password was right, or the provider vouched; a second factor is still to come, within ten minutes. */
export const MfaRequired = Shape('MfaRequired', {
  mfaRequired: Type.Literal(true),
  mfaToken: Type.String(),
  methods: Type.Array(SecondFactor),
})
export type MfaRequired = Static<typeof MfaRequired>

/** The answer to a login. */
export const LoginAnswer = Type.Union([Authenticated, MfaRequired])
export type LoginAnswer = Static<typeof LoginAnswer>

export const Session = Shape('Session', {
  id: Id,
  current: Type.Boolean({ description: 'Whether this request was made with it' }),
  createdAt: Timestamp,
  lastUsedAt: Timestamp,
  authenticatedAt: Timestamp,
  methods: Type.Array(Type.String(), { description: 'How it was logged in: amr values of RFC 8176' }),
  address: Nullable(Type.String({ description: 'Where it was last used from' })),
  userAgent: Nullable(Type.String()),
  device: Nullable(Type.String({ description: 'The user agent in a few words' })),
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
  requireMfa: Type.Boolean({ description: 'Whether it counts only for those who have a second factor' }),
  isEveryone: Type.Boolean(),
  createdAt: Timestamp,
})
export type Role = Static<typeof Role>
export const RolePage = Page('RolePage', Role)

const RoleFields = {
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' }),
  colour: Type.Optional(Nullable(Type.String({ pattern: '^#[0-9a-f]{6}$' }))),
  permissions: Type.Optional(Type.Array(PermissionName, { maxItems: 64, uniqueItems: true })),
  requireMfa: Type.Optional(Type.Boolean()),
}
export const NewRole = Shape('NewRole', RoleFields)
export type NewRole = Static<typeof NewRole>
export const RolePatch = Shape('RolePatch', {
  ...RoleFields,
  name: Type.Optional(RoleFields.name),
  position: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 250, description: 'Those in its way move on; behind the last is the last' }),
  ),
})
export type RolePatch = Static<typeof RolePatch>

export const Member = Shape('Member', {
  user: User,
  nickname: Nullable(Type.String()),
  roleIds: Type.Array(Id),
  timedOutUntil: Nullable(Timestamp),
  joinedAt: Timestamp,
})
export type Member = Static<typeof Member>
export const MemberPage = Page('MemberPage', Member)

export const MemberPatch = Shape('MemberPatch', {
  nickname: Type.Optional(Nullable(DisplayedName)),
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

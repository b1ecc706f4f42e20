import { type Static, Type } from '@sinclair/typebox'
import { Shape } from './common.ts'
import { Confirmation, LoginRequest, OpaqueToken, Password } from './identity.ts'

/** The current password where there is one; who logs in by other means sets a first one. */
export const PasswordChange = Shape('PasswordChange', {
  newPassword: Password,
  currentPassword: Confirmation.password,
  code: Confirmation.code,
})
export type PasswordChange = Static<typeof PasswordChange>

export const PasswordResetRequest = Shape('PasswordResetRequest', { login: LoginRequest.properties.login })
export type PasswordResetRequest = Static<typeof PasswordResetRequest>

export const PasswordReset = Shape('PasswordReset', { token: OpaqueToken, newPassword: Password })
export type PasswordReset = Static<typeof PasswordReset>

export const EmailVerification = Shape('EmailVerification', { token: OpaqueToken })
export type EmailVerification = Static<typeof EmailVerification>

/** What was asked for is under way; whether anything comes of it is not told. */
export const Accepted = Shape('Accepted', { accepted: Type.Literal(true) })
export type Accepted = Static<typeof Accepted>

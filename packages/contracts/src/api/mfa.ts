import { type Static, type TProperties, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'
import { OpaqueToken } from './identity.ts'

export const MfaStatus = Shape('MfaStatus', {
  totp: Type.Boolean({ description: 'Whether an authenticator app is set up' }),
  passkeys: Type.Integer({ minimum: 0 }),
  recoveryCodesLeft: Type.Integer({ minimum: 0 }),
})
export type MfaStatus = Static<typeof MfaStatus>

const Code = Type.String({ minLength: 6, maxLength: 32 })

export const TotpEnrolment = Shape('TotpEnrolment', {
  secret: Type.String({ description: 'Base32, for whoever types it into the app; shown this once' }),
  uri: Type.String({ description: 'The same as an otpauth: URI, for a QR code' }),
})
export type TotpEnrolment = Static<typeof TotpEnrolment>

export const TotpConfirmation = Shape('TotpConfirmation', { code: Code })

const Codes = Type.Array(Type.String(), { description: 'Shown this once; each works once' })

export const RecoveryCodes = Shape('RecoveryCodes', { recoveryCodes: Codes })
export type RecoveryCodes = Static<typeof RecoveryCodes>

/** With the account's first second factor come recovery codes; with every other one those go on, and it is null. */
const FirstCodes = { recoveryCodes: Nullable(Codes) }
export const TotpConfirmed = Shape('TotpConfirmed', FirstCodes)
export type TotpConfirmed = Static<typeof TotpConfirmed>

/** The second step of a login, by a code. */
export const CodeLogin = Shape('CodeLogin', { mfaToken: OpaqueToken, code: Code })
export type CodeLogin = Static<typeof CodeLogin>

const PasskeyName = Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' })

export const Passkey = Shape('Passkey', {
  id: Id,
  name: Type.String(),
  isSynced: Type.Boolean({ description: 'Whether it is kept in more places than one device' }),
  createdAt: Timestamp,
  lastUsedAt: Nullable(Timestamp),
})
export type Passkey = Static<typeof Passkey>
export const PasskeyPage = Page('PasskeyPage', Passkey)
export const PasskeyPatch = Shape('PasskeyPatch', { name: PasskeyName })
export const AddedPasskey = Shape('AddedPasskey', { ...Passkey.properties, ...FirstCodes })
export type AddedPasskey = Static<typeof AddedPasskey>

const base64url = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '^[A-Za-z0-9_-]+$' })
const word = Type.String({ maxLength: 32, pattern: '^[A-Za-z0-9._-]+$' })

// A credential's id is of 1023 bytes at most (WebAuthn Level 3, 4).
const CredentialId = base64url(1364)

const Descriptor = Shape('PasskeyDescriptor', {
  id: Type.String(),
  type: Type.Literal('public-key'),
  transports: Type.Optional(Type.Array(Type.String())),
})

const Wish = Enumeration(['required', 'preferred', 'discouraged'])

/** For `PublicKeyCredential.parseCreationOptionsFromJSON`. */
export const PasskeyCreationOptions = Shape('PasskeyCreationOptions', {
  rp: Fields({ id: Type.String(), name: Type.String() }),
  user: Fields({ id: Type.String(), name: Type.String(), displayName: Type.String() }),
  challenge: Type.String(),
  pubKeyCredParams: Type.Array(Fields({ type: Type.Literal('public-key'), alg: Type.Integer() })),
  timeout: Type.Integer({ description: 'Milliseconds' }),
  excludeCredentials: Type.Array(Descriptor),
  authenticatorSelection: Fields({ residentKey: Wish, userVerification: Wish }),
  attestation: Type.Literal('none'),
  extensions: Fields({ credProps: Type.Literal(true) }),
})
export type PasskeyCreationOptions = Static<typeof PasskeyCreationOptions>

/** For `PublicKeyCredential.parseRequestOptionsFromJSON`. */
export const PasskeyRequestOptions = Shape('PasskeyRequestOptions', {
  challenge: Type.String(),
  rpId: Type.String(),
  timeout: Type.Integer({ description: 'Milliseconds' }),
  allowCredentials: Type.Array(Descriptor),
  userVerification: Wish,
})
export type PasskeyRequestOptions = Static<typeof PasskeyRequestOptions>

const CeremonyToken = Type.String({ description: 'Goes back with what the browser answers, within five minutes' })
export const PasskeyRegistrationStart = Shape('PasskeyRegistrationStart', {
  ceremonyToken: CeremonyToken,
  options: PasskeyCreationOptions,
})
export type PasskeyRegistrationStart = Static<typeof PasskeyRegistrationStart>
export const PasskeyLoginStart = Shape('PasskeyLoginStart', {
  ceremonyToken: CeremonyToken,
  options: PasskeyRequestOptions,
})
export type PasskeyLoginStart = Static<typeof PasskeyLoginStart>

/** Without a token: a login by the passkey alone, whoever it is. */
export const PasskeyLoginRequest = Shape('PasskeyLoginRequest', { mfaToken: Type.Optional(OpaqueToken) })
export type PasskeyLoginRequest = Static<typeof PasskeyLoginRequest>

/**
 * What an authenticator says, as the browser's `toJSON()` writes it. The only objects of the contract that are open:
 * the browser fills them in, and browsers add fields with every level of the standard, so that refusing what isn't known
 * would lock people out on the day of an update. It is bounded, and nothing reads it.
 */
const FromBrowser = <P extends TProperties>(title: string, properties: P) =>
  Type.Object(properties, { title, additionalProperties: true, maxProperties: 24 })

const Credential = {
  id: CredentialId,
  rawId: CredentialId,
  type: Type.Literal('public-key'),
  authenticatorAttachment: Type.Optional(Nullable(word)),
  clientExtensionResults: Type.Record(Type.String(), Type.Unknown(), { maxProperties: 24 }),
}
const ClientData = base64url(8192)
// With room for the keys and signatures of post-quantum algorithms, and for certificates that weren't asked for.
const AuthenticatorOutput = base64url(32_768)

/** `RegistrationResponseJSON` of WebAuthn Level 3. */
export const PasskeyRegistrationResponse = FromBrowser('PasskeyRegistrationResponse', {
  ...Credential,
  response: FromBrowser('PasskeyAttestation', {
    clientDataJSON: ClientData,
    attestationObject: AuthenticatorOutput,
    transports: Type.Optional(Type.Array(word, { maxItems: 16 })),
  }),
})
export type PasskeyRegistrationResponse = Static<typeof PasskeyRegistrationResponse>

/** `AuthenticationResponseJSON` of WebAuthn Level 3. */
export const PasskeyLoginResponse = FromBrowser('PasskeyLoginResponse', {
  ...Credential,
  response: FromBrowser('PasskeyAssertion', {
    clientDataJSON: ClientData,
    authenticatorData: AuthenticatorOutput,
    signature: AuthenticatorOutput,
    userHandle: Type.Optional(Nullable(base64url(88))),
  }),
})
export type PasskeyLoginResponse = Static<typeof PasskeyLoginResponse>

export const NewPasskey = Shape('NewPasskey', {
  ceremonyToken: OpaqueToken,
  name: PasskeyName,
  response: PasskeyRegistrationResponse,
})
export type NewPasskey = Static<typeof NewPasskey>

export const PasskeyLogin = Shape('PasskeyLogin', { ceremonyToken: OpaqueToken, response: PasskeyLoginResponse })
export type PasskeyLogin = Static<typeof PasskeyLogin>

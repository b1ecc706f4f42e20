import { type Static, Type } from '@sinclair/typebox'
import { Fields, Id, Nullable, Shape, Timestamp } from './common.ts'
import { Confirmation, OpaqueToken } from './identity.ts'

/** What stands for a provider in paths; two words are taken there. */
export const OidcProviderId = Type.String({
  pattern: '^(?!(providers|exchange)$)[a-z0-9][a-z0-9-]{0,31}$',
  description: 'Lower-case letters, digits and -',
})

export const OidcProviderParams = Fields({ provider: OidcProviderId })

/** Who can be logged in with. */
export const OidcLoginOption = Shape('OidcLoginOption', { id: Type.String(), name: Type.String() })
export type OidcLoginOption = Static<typeof OidcLoginOption>
export const OidcLoginOptions = Shape('OidcLoginOptions', { items: Type.Array(OidcLoginOption) })

/** A provider as its administrators see it: the client secret is never shown. */
export const OidcProvider = Shape('OidcProvider', {
  id: Type.String(),
  name: Type.String(),
  issuer: Type.String(),
  clientId: Type.String(),
  hasClientSecret: Type.Boolean(),
  scopes: Type.Array(Type.String()),
  enabled: Type.Boolean(),
  redirectUri: Type.String({ description: 'What has to be registered with the provider' }),
  createdAt: Timestamp,
})
export type OidcProvider = Static<typeof OidcProvider>
export const OidcProviderList = Shape('OidcProviderList', { items: Type.Array(OidcProvider) })

const Scope = Type.String({ pattern: '^[!#-\\[\\]-~]{1,128}$' })

// RFC 6749, appendices A.1 and A.2.
const CLIENT_WORD = '^[ -~]+$'

export const OidcProviderSettings = Shape('OidcProviderSettings', {
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' }),
  issuer: Type.String({ minLength: 1, maxLength: 512, description: 'An https URL; http only on this machine' }),
  clientId: Type.String({ pattern: CLIENT_WORD, minLength: 1, maxLength: 512 }),
  clientSecret: Type.Optional(
    Nullable(
      Type.String({
        pattern: CLIENT_WORD,
        minLength: 1,
        maxLength: 1024,
        description: 'Without it the present one stays; null for a client that has none',
      }),
    ),
  ),
  scopes: Type.Optional(
    Type.Array(Scope, { maxItems: 16, uniqueItems: true, description: 'openid, email and profile unless told' }),
  ),
  enabled: Type.Optional(Type.Boolean({ description: 'Unless told otherwise' })),
})
export type OidcProviderSettings = Static<typeof OidcProviderSettings>

const CodeChallenge = Type.Optional(
  Type.String({
    pattern: '^[A-Za-z0-9_-]{43}$',
    description: "SHA-256 of the client's own verifier, base64url: then the code is no good without the verifier",
  }),
)
const ReturnTo = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 2048,
    description:
      'Where the browser goes in the end, with `#code=…` or `#error=…`: a path of this server, or a URL at one of the ' +
      'origins that it is set up with',
  }),
)

export const OidcStartQuery = Fields({
  returnTo: ReturnTo,
  codeChallenge: CodeChallenge,
  inviteCode: Type.Optional(OpaqueToken),
})
export type OidcStartQuery = Static<typeof OidcStartQuery>

/** Open: a client has to ignore what else a provider sends (RFC 6749, section 4.1.2). */
export const OidcCallbackQuery = Type.Object({
  state: Type.Optional(Type.String({ maxLength: 512 })),
  code: Type.Optional(Type.String({ maxLength: 8192 })),
  error: Type.Optional(Type.String({ maxLength: 512 })),
  iss: Type.Optional(Type.String({ maxLength: 1024 })),
})
export type OidcCallbackQuery = Static<typeof OidcCallbackQuery>

/** What a link that was begun elsewhere is completed with: see `OidcExchange`. */
export const OidcCode = Shape('OidcCode', { code: Type.String() })
export type OidcCode = Static<typeof OidcCode>

export const OidcExchange = Shape('OidcExchange', {
  code: OpaqueToken,
  codeVerifier: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9._~-]{43,128}$',
      description: 'What the codeChallenge was made of, where there was one',
    }),
  ),
})
export type OidcExchange = Static<typeof OidcExchange>

export const OidcLink = Shape('OidcLink', { returnTo: ReturnTo, codeChallenge: CodeChallenge, ...Confirmation })
export type OidcLink = Static<typeof OidcLink>

export const OidcLinkStart = Shape('OidcLinkStart', {
  url: Type.String({ description: "Where to take the person: the provider's page" }),
})
export type OidcLinkStart = Static<typeof OidcLinkStart>

/** Who one is at a provider. */
export const Identity = Shape('Identity', {
  id: Id,
  provider: OidcLoginOption,
  createdAt: Timestamp,
  lastUsedAt: Nullable(Timestamp),
})
export type Identity = Static<typeof Identity>
export const IdentityList = Shape('IdentityList', { items: Type.Array(Identity) })

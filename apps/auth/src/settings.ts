import { type ConfigRule, listOf, neededWith } from '@conntext/kernel'
import { type Static, Type } from '@sinclair/typebox'

const ORIGIN = '^https?://[^/?#\\s]+/?$'
const DOMAIN = '^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$'
// Of pages, and of Android apps, which say by what key they were signed.
const PASSKEY_ORIGIN = '(https?://[^\\s,/?#]+|android:apk-key-hash:[A-Za-z0-9_-]+)'
const MAIL_FROM = '^([^\\r\\n<>@]*<[^\\s<>@]+@[^\\s<>@]+>|[^\\s<>@]+@[^\\s<>@]+)$'

export const SetupCode = Type.String({ minLength: 4, expects: 'at least 4 characters' })

/** What the auth service is told by the environment, alone or with the others in one process. */
export const authSettings = {
  CONNTEXT_PUBLIC_URL: Type.Optional(
    Type.String({ pattern: ORIGIN, expects: 'a URL without a path, such as https://chat.example.org' }),
  ),
  CONNTEXT_OIDC_RETURN_ORIGINS: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s,/?#]+(\\s*,\\s*https?://[^\\s,/?#]+)*$',
      expects: 'origins such as https://chat.example.org, separated by commas',
    }),
  ),
  CONNTEXT_WEBAUTHN_RP_ID: Type.Optional(
    Type.String({ pattern: DOMAIN, expects: 'a domain such as example.org, to which passkeys are bound' }),
  ),
  CONNTEXT_WEBAUTHN_ORIGINS: Type.Optional(
    Type.String({
      pattern: `^${PASSKEY_ORIGIN}(\\s*,\\s*${PASSKEY_ORIGIN})*$`,
      expects: 'origins such as https://app.example.org or android:apk-key-hash:…, separated by commas',
    }),
  ),
  CONNTEXT_SMTP_URL: Type.Optional(Type.String({ pattern: '^smtps?://.', expects: 'an smtp:// or smtps:// URL' })),
  CONNTEXT_MAIL_FROM: Type.Optional(
    Type.String({ pattern: MAIL_FROM, expects: 'an email address, or a name and <address>' }),
  ),
}

export const authRules: ConfigRule[] = [neededWith('CONNTEXT_SMTP_URL', ['CONNTEXT_MAIL_FROM'])]

const Settings = Type.Object(authSettings)

export type AuthConfig = {
  /** Where people reach the server, for links in mails and logins elsewhere; without a path. */
  publicUrl: string
  /** Origins besides the server's own that results of OpenID Connect logins may go to. */
  oidcReturnOrigins: string[]
  /** Where passkeys belong, where the public URL doesn't say it all. */
  webauthn: { rpId: string | undefined; origins: string[] }
  /** The mail server; without one, mails are shown on the console. */
  smtp: { url: string; from: string } | undefined
}

/** `publicUrl` is the one to take where none is set. */
export function toAuthConfig(env: Static<typeof Settings>, { publicUrl }: { publicUrl: string }): AuthConfig {
  const { CONNTEXT_SMTP_URL: url, CONNTEXT_MAIL_FROM: from } = env
  return {
    publicUrl: (env.CONNTEXT_PUBLIC_URL ?? publicUrl).replace(/\/$/, ''),
    oidcReturnOrigins: listOf(env.CONNTEXT_OIDC_RETURN_ORIGINS),
    webauthn: { rpId: env.CONNTEXT_WEBAUTHN_RP_ID, origins: listOf(env.CONNTEXT_WEBAUTHN_ORIGINS) },
    smtp: url !== undefined && from !== undefined ? { url, from } : undefined,
  }
}

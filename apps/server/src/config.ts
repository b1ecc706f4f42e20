import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { type GatewayConfig, gatewaySettings, readGatewayConfig } from '@conntext/gateway'
import { ConfigError, type Environment, type LogLevel, parseConfig } from '@conntext/kernel'
import type { S3Options } from '@conntext/object-store'
import { type Static, Type } from '@sinclair/typebox'

const ORIGIN = '^https?://[^/?#\\s]+/?$'
const DOMAIN = '^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$'
// Of pages, and of Android apps, which say by what key they were signed.
const PASSKEY_ORIGIN = '(https?://[^\\s,/?#]+|android:apk-key-hash:[A-Za-z0-9_-]+)'
const MAIL_FROM = '^([^\\r\\n<>@]*<[^\\s<>@]+@[^\\s<>@]+>|[^\\s<>@]+@[^\\s<>@]+)$'

const Quota = Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** Every setting of the all-in-one server: the gateway's, and those of the whole. */
const Settings = Type.Object({
  ...gatewaySettings.properties,
  CONNTEXT_DATA: Type.String({ default: './data' }),
  CONNTEXT_SETUP_CODE: Type.Optional(Type.String({ minLength: 4, expects: 'at least 4 characters' })),
  CONNTEXT_LOG_LEVEL: Type.Union(
    (['silent', 'error', 'warn', 'info', 'debug'] as const).map((level) => Type.Literal(level)),
    { default: 'warn', expects: 'silent, error, warn, info or debug' },
  ),
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
  CONNTEXT_CLICKHOUSE_URL: Type.Optional(Type.String({ pattern: '^https?://', expects: 'an http:// or https:// URL' })),
  CONNTEXT_CLICKHOUSE_USER: Type.String({ default: 'default' }),
  CONNTEXT_CLICKHOUSE_PASSWORD: Type.String({ default: '' }),
  CONNTEXT_S3_ENDPOINT: Type.Optional(
    Type.String({ pattern: ORIGIN, expects: 'an http:// or https:// URL without a path' }),
  ),
  CONNTEXT_S3_BUCKET: Type.String({
    default: 'conntext',
    pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    expects: '3 to 63 of a-z, 0-9, dots and hyphens',
  }),
  CONNTEXT_S3_REGION: Type.String({ default: 'us-east-1', pattern: '^[A-Za-z0-9-]+$', expects: 'such as us-east-1' }),
  CONNTEXT_S3_ACCESS_KEY: Type.Optional(Type.String()),
  CONNTEXT_S3_SECRET_KEY: Type.Optional(Type.String()),
  CONNTEXT_MEDIA_QUOTA_PERSON: Quota,
  CONNTEXT_MEDIA_QUOTA_SERVER: Quota,
  CONNTEXT_VOICE_WORKERS: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
})

export type ServerConfig = {
  gateway: GatewayConfig
  data: string
  setupCode: string | undefined
  logLevel: LogLevel
  /** Where people reach the server, for links in mails and logins elsewhere; without a path. */
  publicUrl: string
  /** Origins besides the server's own that results of OpenID Connect logins may go to. */
  oidcReturnOrigins: string[]
  /** Where passkeys belong, where the public URL doesn't say it all. */
  webauthn: { rpId: string | undefined; origins: string[] }
  /** The mail server; without one, mails are shown on the console. */
  smtp: { url: string; from: string } | undefined
  /** An engine to use instead of the embedded one. */
  clickhouse: { url: string; username: string; password: string } | undefined
  /** Where files are kept, instead of the data directory. */
  s3: S3Options | undefined
  /** How many bytes of files may be stored for one person, and in all. */
  quotas: { person: number | undefined; server: number | undefined }
  voiceWorkers: number | undefined
  /** Variables that look like settings and are none: misspelt, most likely. */
  unknown: string[]
}

/**
 * Reads the configuration once: from the environment, and below it from the file that `CONNTEXT_CONFIG` names
 * (`NAME=value` lines).
 * @throws ConfigError that names every fault at once, and no value.
 */
export function loadConfig(environment: Environment): ServerConfig {
  const all = { ...readFile(environment.CONNTEXT_CONFIG), ...environment }
  const env = parseConfig(Settings, all)
  const gateway = readGatewayConfig(all)
  return {
    gateway,
    data: env.CONNTEXT_DATA,
    setupCode: env.CONNTEXT_SETUP_CODE,
    logLevel: env.CONNTEXT_LOG_LEVEL,
    publicUrl: (env.CONNTEXT_PUBLIC_URL ?? `http://localhost:${gateway.port}`).replace(/\/$/, ''),
    oidcReturnOrigins: listOf(env.CONNTEXT_OIDC_RETURN_ORIGINS),
    webauthn: { rpId: env.CONNTEXT_WEBAUTHN_RP_ID, origins: listOf(env.CONNTEXT_WEBAUTHN_ORIGINS) },
    smtp: readSmtp(env),
    clickhouse: env.CONNTEXT_CLICKHOUSE_URL
      ? {
          url: env.CONNTEXT_CLICKHOUSE_URL,
          username: env.CONNTEXT_CLICKHOUSE_USER,
          password: env.CONNTEXT_CLICKHOUSE_PASSWORD,
        }
      : undefined,
    s3: readS3(env),
    quotas: { person: env.CONNTEXT_MEDIA_QUOTA_PERSON, server: env.CONNTEXT_MEDIA_QUOTA_SERVER },
    voiceWorkers: env.CONNTEXT_VOICE_WORKERS,
    unknown: Object.keys(all).filter(isUnknown),
  }
}

const listOf = (text: string | undefined): string[] => text?.split(',').map((one) => one.trim()) ?? []

function readSmtp({
  CONNTEXT_SMTP_URL: url,
  CONNTEXT_MAIL_FROM: from,
}: {
  CONNTEXT_SMTP_URL?: string
  CONNTEXT_MAIL_FROM?: string
}) {
  if (url === undefined) return undefined
  const message = 'is required where CONNTEXT_SMTP_URL is set'
  if (from === undefined) throw new ConfigError([{ setting: 'CONNTEXT_MAIL_FROM', message }])
  return { url, from }
}

function readS3(env: Static<typeof Settings>): S3Options | undefined {
  const { CONNTEXT_S3_ENDPOINT: endpoint, CONNTEXT_S3_ACCESS_KEY, CONNTEXT_S3_SECRET_KEY } = env
  if (endpoint === undefined) return undefined
  const faults = Object.entries({ CONNTEXT_S3_ACCESS_KEY, CONNTEXT_S3_SECRET_KEY })
    .filter(([, value]) => value === undefined)
    .map(([setting]) => ({ setting, message: 'is required where CONNTEXT_S3_ENDPOINT is set' }))
  if (CONNTEXT_S3_ACCESS_KEY === undefined || CONNTEXT_S3_SECRET_KEY === undefined) throw new ConfigError(faults)
  return {
    endpoint,
    bucket: env.CONNTEXT_S3_BUCKET,
    region: env.CONNTEXT_S3_REGION,
    accessKey: CONNTEXT_S3_ACCESS_KEY,
    secretKey: CONNTEXT_S3_SECRET_KEY,
  }
}

// Those of the launcher and of the test runs.
const OTHERS = /^CONNTEXT_(CONFIG|LIFELINE|TEST_\w+)$/
const isUnknown = (name: string) =>
  name.startsWith('CONNTEXT_') && !OTHERS.test(name) && !Object.hasOwn(Settings.properties, name)

function readFile(path: string | undefined): Environment {
  if (!path) return {}
  try {
    return parseEnv(readFileSync(path, 'utf8'))
  } catch (error) {
    const code = String((error as { code?: unknown }).code)
    const message = code === 'ENOENT' ? 'names a file that is not there' : `names a file that can't be read (${code})`
    throw new ConfigError([{ setting: 'CONNTEXT_CONFIG', message }])
  }
}

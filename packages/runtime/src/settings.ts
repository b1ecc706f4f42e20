import { type ConfigRule, LogLevelSetting } from '@conntext/kernel'
import { traceSettings } from '@conntext/telemetry'
import { Type } from '@sinclair/typebox'

export const NEIGHBOURS = ['auth', 'system', 'messaging', 'realtime'] as const
export type Neighbour = (typeof NEIGHBOURS)[number]

const SEPARATOR = /[,\n]/

/** What the process of any service is told by the environment. */
export const processSettings = {
  CONNTEXT_LOG_LEVEL: LogLevelSetting,
  ...traceSettings,
  CONNTEXT_REDIS_URL: Type.String({
    pattern: '^rediss?://[^\\s,/]+(/0?)?(\\s*,\\s*rediss?://[^\\s,/]+(/0?)?)*$',
    expects: 'redis://host:6379 or rediss://host:6379; several, separated by commas, are nodes of a cluster',
  }),
  CONNTEXT_REDIS_PASSWORD: Type.Optional(Type.String()),
  CONNTEXT_REDIS_PREFIX: Type.String({
    default: 'conntext:',
    pattern: '^[!-z|~]{1,64}$',
    expects: '1 to 64 printable characters without spaces and braces',
  }),
  CONNTEXT_SERVICE_CREDENTIAL: Type.String({
    pattern: '^\\s*[!-+\\--~]{16,}\\s*([,\\n]\\s*[!-+\\--~]{16,}\\s*)?$',
    expects: 'at least 16 printable characters without commas; or two such, separated by a comma or a line break',
  }),
}

/** Where a service that listens inside only does so. */
export const listenerSettings = (port: number) => ({
  CONNTEXT_HOST: Type.String({ default: '0.0.0.0', expects: 'an address to listen on' }),
  CONNTEXT_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: port }),
})

const BaseUrls = Type.String({
  pattern: '^https?://[^/?#\\s,]+/?(\\s*,\\s*https?://[^/?#\\s,]+/?)*$',
  expects: 'a URL without a path, such as http://auth:8081; several, separated by commas, are instances',
})

export const addressSetting = (neighbour: Neighbour): string => `CONNTEXT_${neighbour.toUpperCase()}_URL`

/** Where the services are that this one calls. */
export const addressSettings = (neighbours: readonly Neighbour[]): Record<string, typeof BaseUrls> =>
  Object.fromEntries(neighbours.map((neighbour) => [addressSetting(neighbour), BaseUrls]))

/** How a service reaches its Postgres database, as the user that is its own. */
export const databaseSettings = <const Name extends string>(name: Name, user: string) =>
  ({
    [name]: Type.String({
      pattern: '^postgres(ql)?://[^\\s]+/[^\\s/]+$',
      expects: `a URL such as postgres://${user}@host/database`,
    }),
    CONNTEXT_DATABASE_PASSWORD: Type.Optional(Type.String()),
  }) as Record<Name, ReturnType<typeof Type.String>> & {
    CONNTEXT_DATABASE_PASSWORD: ReturnType<typeof optionalString>
  }

const optionalString = () => Type.Optional(Type.String())

/** The URL with the password in it that is given apart. */
export function withPassword(url: string, password: string | undefined): string {
  if (password === undefined) return url
  const parsed = new URL(url)
  parsed.password = encodeURIComponent(password)
  return parsed.href
}

const KEY = '[A-Za-z0-9_-]{43}=?'

/** 32 bytes, base64url; two of them while the one is being replaced by the other. */
export const MasterKeySetting = Type.String({
  pattern: `^\\s*${KEY}\\s*([,\\n]\\s*${KEY}\\s*)?$`,
  expects:
    '32 bytes in base64url; or two such keys, separated by a comma or a line break, while one replaces the other',
})

export const masterKeysOf = (text: string): Uint8Array[] =>
  partsOf(text).map((key) => new Uint8Array(Buffer.from(key, 'base64url')))

/** What this process shows to others, and all that it takes from them: while it is being changed there are two. */
export type Credentials = { shown: string; accepted: readonly string[] }

export function credentialsOf(text: string): Credentials {
  const accepted = partsOf(text)
  return { shown: accepted[0]!, accepted }
}

const partsOf = (text: string): string[] =>
  text
    .split(SEPARATOR)
    .map((part) => part.trim())
    .filter((part) => part !== '')

/** A URL that the pattern lets pass may still be none. */
export const parseableUrls =
  (names: readonly string[]): ConfigRule =>
  (env) =>
    names
      .filter((name) => env[name]?.split(',').some((url) => !URL.canParse(url.trim())))
      .map((setting) => ({ setting, message: 'is not a URL' }))

export const urlsOf = (text: string): string[] => text.split(',').map((url) => url.trim().replace(/\/$/, ''))

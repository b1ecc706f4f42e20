import { ConfigError, type ConfigRule, neededWith } from '@conntext/kernel'
import { type ObjectStore, ObjectStoreRefused, openS3Store, type S3Options } from '@conntext/object-store'
import { type Static, Type } from '@sinclair/typebox'
import type { Quotas } from './media/usage.ts'
import { WEBHOOK_RATE, type WebhookRate } from './webhooks/queries.ts'

const Quota = Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** What the messaging service is told by the environment, alone or with the others in one process. */
export const messagingSettings = {
  CONNTEXT_S3_ENDPOINT: Type.Optional(
    Type.String({ pattern: '^https?://[^/?#\\s]+/?$', expects: 'an http:// or https:// URL without a path' }),
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
  CONNTEXT_RATE_WEBHOOKS: Type.Integer({ minimum: 0, maximum: 1_000_000, default: WEBHOOK_RATE.perSecond }),
  CONNTEXT_RATE_WEBHOOKS_BURST: Type.Integer({ minimum: 1, maximum: 1_000_000, default: WEBHOOK_RATE.burst }),
}

export const messagingRules: ConfigRule[] = [
  neededWith('CONNTEXT_S3_ENDPOINT', ['CONNTEXT_S3_ACCESS_KEY', 'CONNTEXT_S3_SECRET_KEY']),
]

const Settings = Type.Object(messagingSettings)

export type MessagingConfig = {
  /** Where files are kept; undefined where no bucket is set. */
  s3: S3Options | undefined
  /** How many bytes of files may be stored for one person, and in all. */
  quotas: Quotas
  /** How often each webhook may write. */
  webhookRate: WebhookRate
}

export function toMessagingConfig(env: Static<typeof Settings>): MessagingConfig {
  const { CONNTEXT_S3_ENDPOINT: endpoint, CONNTEXT_S3_ACCESS_KEY: accessKey, CONNTEXT_S3_SECRET_KEY: secretKey } = env
  const isSet = endpoint !== undefined && accessKey !== undefined && secretKey !== undefined
  return {
    s3: isSet
      ? { endpoint, bucket: env.CONNTEXT_S3_BUCKET, region: env.CONNTEXT_S3_REGION, accessKey, secretKey }
      : undefined,
    quotas: { person: env.CONNTEXT_MEDIA_QUOTA_PERSON, server: env.CONNTEXT_MEDIA_QUOTA_SERVER },
    webhookRate: { perSecond: env.CONNTEXT_RATE_WEBHOOKS, burst: env.CONNTEXT_RATE_WEBHOOKS_BURST },
  }
}

/** Opens the bucket that is set. @throws ConfigError for what it refuses us, and as `openS3Store` does */
export const openBucket = (s3: S3Options): Promise<ObjectStore> =>
  openS3Store(s3).catch((error: unknown) => {
    throw bucketRefusal(error) ?? error
  })

/** What the object store refuses us for, in terms of the settings; the values aren't told. Undefined for other failures. */
function bucketRefusal(error: unknown): ConfigError | undefined {
  if (!(error instanceof ObjectStoreRefused)) return undefined
  const faults = {
    credentials: [
      'CONNTEXT_S3_ACCESS_KEY',
      'the object store refuses it, or its CONNTEXT_S3_SECRET_KEY, for the bucket',
    ],
    bucket: ['CONNTEXT_S3_BUCKET', 'names a bucket that the object store refuses'],
    region: ['CONNTEXT_S3_REGION', 'is not the one of the object store, or of the bucket'],
  } as const
  const [setting, message] = faults[error.reason]
  return new ConfigError([{ setting, message: `${message} (${error.answer})` }])
}

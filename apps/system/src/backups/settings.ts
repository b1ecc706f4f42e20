import type { BackupStore, Sealing } from '@conntext/backup'
import { type ConfigRule, neededWith } from '@conntext/kernel'
import { type ObjectStore, openFilesystemStore, openS3Store, type S3Options } from '@conntext/object-store'
import { type Static, Type } from '@sinclair/typebox'
import type { BackupPlace } from './service.ts'

const RECIPIENT = 'age1[a-z0-9]{50,}'

/** Where backups go, how they are encrypted, and how often they are made. */
export const backupSettings = {
  CONNTEXT_BACKUP_RECIPIENTS: Type.Optional(
    Type.String({ pattern: `^${RECIPIENT}(,${RECIPIENT})*$`, expects: 'recipients of age, which begin with age1' }),
  ),
  CONNTEXT_BACKUP_PASSPHRASE: Type.Optional(Type.String({ minLength: 16, expects: 'at least 16 characters' })),
  CONNTEXT_BACKUP_EVERY_HOURS: Type.Optional(Type.Integer({ minimum: 1, maximum: 8_760 })),
  CONNTEXT_BACKUP_KEEP: Type.Integer({ minimum: 1, maximum: 10_000, default: 7 }),
  CONNTEXT_BACKUP_DIRECTORY: Type.Optional(Type.String()),
  CONNTEXT_BACKUP_S3_ENDPOINT: Type.Optional(
    Type.String({ pattern: '^https?://[^/?#\\s]+/?$', expects: 'an http:// or https:// URL without a path' }),
  ),
  CONNTEXT_BACKUP_S3_BUCKET: Type.String({
    default: 'conntext-backups',
    pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    expects: '3 to 63 of a-z, 0-9, dots and hyphens',
  }),
  CONNTEXT_BACKUP_S3_REGION: Type.String({
    default: 'us-east-1',
    pattern: '^[A-Za-z0-9-]+$',
    expects: 'such as us-east-1',
  }),
  CONNTEXT_BACKUP_S3_ACCESS_KEY: Type.Optional(Type.String()),
  CONNTEXT_BACKUP_S3_SECRET_KEY: Type.Optional(Type.String()),
}

const Settings = Type.Object(backupSettings)
type Env = Static<typeof Settings>

export const backupRules: ConfigRule[] = [
  neededWith('CONNTEXT_BACKUP_S3_ENDPOINT', ['CONNTEXT_BACKUP_S3_ACCESS_KEY', 'CONNTEXT_BACKUP_S3_SECRET_KEY']),
]

export type BackupConfig = {
  /** Undefined where nothing says by what they are encrypted: then none is made. */
  sealing: Sealing | undefined
  everyHours: number | undefined
  /** How many of the scheduled ones are kept. */
  keep: number
  directory: string | undefined
  /** Instead of a directory. */
  s3: S3Options | undefined
}

export function toBackupConfig(env: Env): BackupConfig {
  const { CONNTEXT_BACKUP_RECIPIENTS: recipients, CONNTEXT_BACKUP_PASSPHRASE: passphrase } = env
  const endpoint = env.CONNTEXT_BACKUP_S3_ENDPOINT
  const accessKey = env.CONNTEXT_BACKUP_S3_ACCESS_KEY
  const secretKey = env.CONNTEXT_BACKUP_S3_SECRET_KEY
  const isSet = endpoint !== undefined && accessKey !== undefined && secretKey !== undefined
  const place = { bucket: env.CONNTEXT_BACKUP_S3_BUCKET, region: env.CONNTEXT_BACKUP_S3_REGION }
  return {
    sealing:
      recipients !== undefined
        ? { recipients: recipients.split(',') }
        : passphrase === undefined
          ? undefined
          : { passphrase },
    everyHours: env.CONNTEXT_BACKUP_EVERY_HOURS,
    keep: env.CONNTEXT_BACKUP_KEEP,
    directory: env.CONNTEXT_BACKUP_DIRECTORY,
    s3: isSet ? { endpoint, accessKey, secretKey, ...place } : undefined,
  }
}

/** Opens where backups go: the bucket, or the directory; undefined where neither is set. */
export async function openBackupTarget(
  config: Pick<BackupConfig, 's3' | 'directory'>,
): Promise<ObjectStore | undefined> {
  if (config.s3) return openS3Store(config.s3)
  return config.directory === undefined ? undefined : openFilesystemStore(config.directory)
}

/** Opened when it is first needed: a server starts, and goes on, without the place for its backups. */
export function lazily(open: () => Promise<ObjectStore>): BackupStore {
  let opening: Promise<ObjectStore> | undefined
  const store = () => {
    opening ??= open().catch((error: unknown) => {
      opening = undefined
      throw error
    })
    return opening
  }
  return {
    head: async (...args) => (await store()).head(...args),
    get: async (...args) => (await store()).get(...args),
    put: async (...args) => (await store()).put(...args),
    delete: async (...args) => (await store()).delete(...args),
    sweepTemporary: async (...args) => (await store()).sweepTemporary(...args),
  }
}

/** What a system service that runs by itself reads backups from, besides its own database. */
export const backupSourceSettings = {
  CONNTEXT_BACKUP_DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://[^\\s]+/[^\\s/]+$',
      expects: 'a URL such as postgres://conntext_backup@host/server_details',
    }),
  ),
  CONNTEXT_BACKUP_DATABASE_PASSWORD: Type.Optional(Type.String()),
  CONNTEXT_S3_ENDPOINT: Type.Optional(
    Type.String({ pattern: '^https?://[^/?#\\s]+/?$', expects: 'an http:// or https:// URL without a path' }),
  ),
  CONNTEXT_S3_BUCKET: Type.String({ default: 'conntext' }),
  CONNTEXT_S3_REGION: Type.String({ default: 'us-east-1' }),
  CONNTEXT_S3_ACCESS_KEY: Type.Optional(Type.String()),
  CONNTEXT_S3_SECRET_KEY: Type.Optional(Type.String()),
}

export const backupSourceRules: ConfigRule[] = [
  neededWith('CONNTEXT_BACKUP_DATABASE_URL', [
    'CONNTEXT_S3_ENDPOINT',
    'CONNTEXT_S3_ACCESS_KEY',
    'CONNTEXT_S3_SECRET_KEY',
  ]),
]
const SourceSettings = Type.Object(backupSourceSettings)

/** Where a system service that runs by itself makes backups from and to; undefined where it is not told. */
export function openBackupPlace(
  env: Static<typeof SourceSettings> & Env,
  urlOf: (url: string, password: string | undefined) => string,
): BackupPlace | undefined {
  const config = toBackupConfig(env)
  const { CONNTEXT_BACKUP_DATABASE_URL: url, CONNTEXT_S3_ENDPOINT: endpoint } = env
  const { CONNTEXT_S3_ACCESS_KEY: accessKey, CONNTEXT_S3_SECRET_KEY: secretKey } = env
  if (!config.s3 && config.directory === undefined) return undefined
  if (!url || !endpoint || !accessKey || !secretKey) return undefined
  const place = { bucket: env.CONNTEXT_S3_BUCKET, region: env.CONNTEXT_S3_REGION }
  const objects = lazily(() => openS3Store({ endpoint, accessKey, secretKey, ...place }))
  const target = lazily(async () => (await openBackupTarget(config))!)
  const full = urlOf(url, env.CONNTEXT_BACKUP_DATABASE_PASSWORD)
  const beside = (database: string) => Object.assign(new URL(full), { pathname: `/${database}` }).href
  return {
    serverDetailsUrl: beside('server_details'),
    communicationsUrl: beside('communications'),
    objects,
    target,
    sealing: config.sealing,
    everyHours: config.everyHours,
    keep: config.keep,
  }
}

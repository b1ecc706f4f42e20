import { AUDIT_DATABASE, type Audit, isAuditAway, migrateAudit, openAudit } from '@conntext/db-audit'
import { COMMUNICATIONS, openCommunications } from '@conntext/db-communications'
import { openServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'
import {
  type DataDirectory,
  readOrCreateSecret,
  type Subdirectories,
  startClickHouse,
  startPostgres,
  supervise,
} from '@conntext/embedded'
import { ConfigError, type Logger, randomToken } from '@conntext/kernel'
import { openBucket as openBucketOnce } from '@conntext/messaging/settings'
import { type ObjectStore, ObjectStoreUnavailable, openFilesystemStore, type S3Options } from '@conntext/object-store'
import type { BackupPlace } from '@conntext/system'
import { lazily, openBackupTarget } from '@conntext/system/settings'
import type { ServerConfig } from './config.ts'
import { makeDatabases, prepareDatabases } from './databases.ts'

export type Stores = {
  /** The Server Details database, as each of its services. */
  auth: ReturnType<typeof openServerDetails>
  system: ReturnType<typeof openServerDetails>
  /** The Communication database, as the messaging service. */
  messaging: ReturnType<typeof openCommunications>
  audit: Audit
  objects: ObjectStore
  /** Where backups are made from and to. */
  backups: BackupPlace | undefined
  close(): Promise<void>
}

type StoreOptions = { config: Pick<ServerConfig, 'clickhouse'>; data: Subdirectories; log: Logger }
type Options = { config: ServerConfig; data: DataDirectory; log: Logger }

/** Starts the engines under the data directory, and again should one end by itself; brings their schemas up to date, and opens them as each service. */
export async function openStores(options: Options): Promise<Stores> {
  const [forPostgres, forClickHouse]: [Closers, Closers] = [[], []]
  // Side by side: an engine that hangs must not take the other's time to stop in order.
  const close = async () => void (await Promise.all([closeAll(forPostgres), closeAll(forClickHouse)]))
  try {
    // First, since it takes no engine to tell that it can't be used.
    const objects = await openObjects(options)
    const target = lazily(() => openBackups(options))
    const opening = [openPostgres(options, forPostgres), openClickHouse(options, forClickHouse)] as const
    const [databases, audit] = await Promise.all(opening)
    const { backupUrls, ...opened } = databases
    const { sealing, everyHours, keep } = options.config.backups
    const backups = { ...backupUrls, objects, target, sealing, everyHours, keep }
    return { ...opened, audit, objects, backups, close }
  } catch (error) {
    await close()
    throw error
  }
}

type Closers = (() => Promise<void>)[]

async function closeAll(closers: Closers): Promise<void> {
  for (const closer of closers.splice(0).reverse()) await closer()
}

/** Where the embedded Postgres keeps its data, and what its superuser proves themselves with. */
export const postgresOf = (data: Subdirectories) => ({
  directory: `${data.path}/postgres`,
  superuserPassword: readOrCreateSecret(data, 'postgres-password', 32),
})

async function openPostgres({ data, log }: Options, closers: Closers) {
  const place = postgresOf(data)
  const start = (port?: number) =>
    startPostgres({
      ...place,
      log: (line) => log.debug({ line }, 'postgres'),
      ...(port === undefined ? {} : { port }),
    })
  const engine = await supervise(start, { name: 'postgres', log: (line) => log.error({ line }, 'postgres') })
  closers.push(() => engine.stop())
  const postgres = engine.current()
  // The services' users get new passwords at each start, so nothing has to remember them.
  const passwords = {
    auth: randomToken(),
    system: randomToken(),
    messaging: randomToken(),
    realtime: randomToken(),
    backup: randomToken(),
  }
  await makeDatabases(postgres.url('postgres'))
  await prepareDatabases((database) => postgres.url(database), passwords)
  const url = (database: string, service: keyof typeof passwords) =>
    postgres.url(database, `conntext_${service}`, passwords[service])
  const auth = openServerDetails({ url: url(SERVER_DETAILS, 'auth'), applicationName: 'conntext auth' })
  const system = openServerDetails({ url: url(SERVER_DETAILS, 'system'), applicationName: 'conntext system' })
  const messaging = openCommunications({
    url: url(COMMUNICATIONS, 'messaging'),
    applicationName: 'conntext messaging',
    poolSize: 16,
  })
  closers.push(async () => void (await Promise.all([auth.close(), system.close(), messaging.close()])))
  const backupUrls = {
    serverDetailsUrl: url(SERVER_DETAILS, 'backup'),
    communicationsUrl: url(COMMUNICATIONS, 'backup'),
  }
  return { auth, system, messaging, backupUrls }
}

/** The Audit database alone, for a command while no server runs. */
export async function openAuditAlone(options: StoreOptions): Promise<Audit & AsyncDisposable> {
  const closers: Closers = []
  try {
    const audit = await openClickHouse(options, closers)
    return { ...audit, [Symbol.asyncDispose]: () => closeAll(closers) }
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

async function openClickHouse({ config, data, log }: StoreOptions, closers: Closers): Promise<Audit> {
  const connection = config.clickhouse ?? (await embeddedClickHouse(data, log, closers))
  const target = { ...connection, database: AUDIT_DATABASE, log }
  await migrateAudit(target).catch((error: unknown) => {
    throw config.clickhouse && isAuditAway(error) ? unusableClickHouse(error) : error
  })
  const audit = openAudit(target)
  closers.push(() => audit.close())
  return audit
}

const unusableClickHouse = (error: unknown): ConfigError => {
  const { code } = error as { code?: unknown }
  return new ConfigError([
    { setting: 'CONNTEXT_CLICKHOUSE_URL', message: `names an engine that can't be used (${code})` },
  ])
}

async function embeddedClickHouse(data: Subdirectories, log: Logger, closers: Closers) {
  const password = randomToken()
  const start = (port?: number) =>
    startClickHouse({
      directory: data.subdirectory('clickhouse'),
      user: 'conntext',
      password,
      log: (line) => log.debug({ line }, 'clickhouse'),
      ...(port === undefined ? {} : { port }),
    })
  const engine = await supervise(start, { name: 'clickhouse', log: (line) => log.error({ line }, 'clickhouse') })
  closers.push(() => engine.stop())
  return { url: engine.current().url, username: 'conntext', password }
}

/** The bucket that is set, or the data directory. @throws ConfigError where the bucket can't be used */
export const openObjects = ({
  config,
  data,
}: {
  config: Pick<ServerConfig, 's3'>
  data: Subdirectories
}): Promise<ObjectStore> => (config.s3 ? openBucket(config.s3) : openFilesystemStore(data.subdirectory('media')))

/** Where backups go: the bucket that is set, or a directory, which is in the data directory unless it is set. */
export async function openBackups({
  config,
  data,
}: {
  config: Pick<ServerConfig, 'backups'>
  data: Subdirectories
}): Promise<ObjectStore> {
  const { s3, directory } = config.backups
  const target = await openBackupTarget({ s3, directory: directory ?? data.subdirectory('backups') })
  return target!
}

/** @throws ConfigError where it can't be used, be it that it is away */
export const openBucket = (s3: S3Options): Promise<ObjectStore> =>
  openBucketOnce(s3).catch((error: unknown) => {
    throw error instanceof ObjectStoreUnavailable ? unusableStore(error) : error
  })

const unusableStore = ({ message }: ObjectStoreUnavailable): ConfigError =>
  new ConfigError([
    { setting: 'CONNTEXT_S3_ENDPOINT', message: `names an object store that can't be used (${message})` },
  ])

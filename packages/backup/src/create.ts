import type { Audit } from '@conntext/db-audit'
import type { ObjectStore, StoredObject } from '@conntext/object-store'
import { ArchiveWriter } from './archive.ts'
import { encrypt, type Sealing } from './encryption.ts'
import { appliedAudit, EVENTS, LOGS, readEvents, readLogs, sizeOf } from './engine.ts'
import {
  type BackupManifest,
  type BackupPart,
  type BackupProgress,
  type BackupSnapshot,
  FORMAT,
  HEADER,
  MANIFEST,
  partOfEngine,
  partOfTable,
  SNAPSHOT,
} from './format.ts'
import { ObjectCopies } from './media.ts'
import {
  openReader,
  type Reader,
  readMigrations,
  readSequences,
  readTables,
  type Snapshot,
  takeSnapshot,
} from './postgres.ts'

/** What backups need of an object store. */
export type BackupStore = Pick<ObjectStore, 'head' | 'get' | 'put' | 'delete' | 'sweepTemporary'>

/** Where everything is, as somebody who may read all of it. */
export type BackupSource = {
  serverDetailsUrl: string
  communicationsUrl: string
  audit: Audit
  objects: Pick<BackupStore, 'get'>
}

export type BackupOrder = {
  id: string
  release: string
  sealing: Sealing
  /** The service logs too. */
  logs: boolean
  now: Date
  target: Pick<BackupStore, 'put'>
  /** What it is called there, once it is whole. */
  key: string
  signal: AbortSignal
  onProgress?: (progress: BackupProgress) => void
  /** For whoever wants to see the same as the backup does, while it is being made. */
  onSnapshots?: (ids: { communications: string; serverDetails: string }) => Promise<void>
}

export type Written = { stored: StoredObject; manifest: BackupManifest }

// While they are held, messaging deletes no object (media/topics.ts), and nothing is removed from the audit log.
const OBJECTS_LOCK = 'backup.objects'
const AUDIT_LOCKS = ['audit.retention', 'audit.erasure']

/**
 * Writes a backup: what is not whole in the end is nowhere. The bulk of the objects goes first, since it takes longest
 * and an object never changes; then both databases' snapshots are taken at once, with the objects that have come since,
 * and while they are open, nothing holds up whoever writes. The Communication database's snapshot comes first: whom and
 * what it refers to in the other is there then. ClickHouse comes last: what it lacks of the batches that Postgres knows
 * waits in Postgres.
 * @throws BackupError, ObjectStoreFull, and what the stores throw
 */
export async function writeBackup(source: BackupSource, order: BackupOrder): Promise<Written> {
  const archive = new ArchiveWriter(order.now)
  const stopped = new AbortController()
  const signal = AbortSignal.any([order.signal, stopped.signal])
  const storing = encrypt(archive.stream, order.sealing).then((sealed) =>
    order.target.put(order.key, sealed, { signal }),
  )
  // Whoever writes learns of a store that fails by what it is told there.
  storing.catch((error: unknown) => archive.fail(error))
  order.signal.addEventListener('abort', () => archive.fail(order.signal.reason), { once: true })
  try {
    const manifest = await fill(archive, source, order)
    archive.end()
    return { stored: await storing, manifest }
  } catch (error) {
    archive.fail(error)
    stopped.abort(error)
    // Of two failures the store's is the cause.
    throw await storing.then(
      () => error,
      (cause: unknown) => cause ?? error,
    )
  }
}

async function fill(archive: ArchiveWriter, source: BackupSource, order: BackupOrder): Promise<BackupManifest> {
  const { id, release, now } = order
  await archive.addJson(HEADER, { format: FORMAT, id, release, beganAt: now.toISOString() })
  const progress = new ProgressCount(order.onProgress)
  const communications = await openReader(source.communicationsUrl, [])
  try {
    progress.total = await estimate(source, communications, order)
    const copies = new ObjectCopies(archive, source.objects, (bytes) => progress.add(bytes, 'files'))
    await copies.copyCurrent(communications)
    const serverDetails = await openReader(source.serverDetailsUrl, AUDIT_LOCKS)
    try {
      return await fillFromSnapshots(archive, source, order, { communications, serverDetails, copies, progress })
    } finally {
      await serverDetails.end()
    }
  } finally {
    await communications.end()
  }
}

type Under = { communications: Reader; serverDetails: Reader; copies: ObjectCopies; progress: ProgressCount }

async function fillFromSnapshots(
  archive: ArchiveWriter,
  { audit }: BackupSource,
  order: BackupOrder,
  { communications, serverDetails, copies, progress }: Under,
): Promise<BackupManifest> {
  const { connection } = communications
  await connection`select pg_advisory_lock_shared(hashtextextended(${OBJECTS_LOCK}, 0))`
  const snapshots = {
    communications: await takeSnapshot(communications),
    serverDetails: await takeSnapshot(serverDetails),
  }
  await order.onSnapshots?.({ communications: snapshots.communications.id, serverDetails: snapshots.serverDetails.id })
  const missing = await copies.copyNamed(snapshots.communications)
  await connection`select pg_advisory_unlock_shared(hashtextextended(${OBJECTS_LOCK}, 0))`
  const snapshot = await describe(snapshots, audit)
  await archive.addJson(SNAPSHOT, snapshot)
  const parts: BackupPart[] = []
  for (const { database, name, columns } of snapshot.tables) {
    const rows = snapshots[database].copyOut(name, columns)
    parts.push(
      await archive.addLines(partOfTable(database, name), 'copy', rows, (bytes) => progress.add(bytes, 'rows')),
    )
  }
  const told = (bytes: number) => progress.add(bytes, 'audit')
  parts.push(await archive.addLines(partOfEngine(EVENTS), 'jsonl', readEvents(audit, snapshot.lastBatch), told))
  if (order.logs) parts.push(await archive.addLines(partOfEngine(LOGS), 'jsonl', readLogs(audit), told))
  for (const one of Object.values(snapshots)) await one.close()
  const endedAt = new Date().toISOString()
  const manifest = { id: order.id, endedAt, parts, objects: copies.total, missing }
  await archive.addJson(MANIFEST, manifest)
  progress.end()
  return manifest
}

type Snapshots = { communications: Snapshot; serverDetails: Snapshot }

async function describe({ communications, serverDetails }: Snapshots, audit: Audit): Promise<BackupSnapshot> {
  const tables = [
    ...(await readTables(communications, 'communications')),
    ...(await readTables(serverDetails, 'serverDetails')),
  ]
  const wrapped = "encode(wrapped, 'base64') as wrapped"
  const [last] = await serverDetails.query<{ number: string }>(
    'select coalesce(max(number), 0)::text as number from audit_batches',
  )
  return {
    at: { communications: communications.at, serverDetails: serverDetails.at },
    tables: tables.map(({ database, name, columns }) => ({ database, name, columns })),
    sequences: [
      ...(await readSequences(communications, 'communications')),
      ...(await readSequences(serverDetails, 'serverDetails')),
    ],
    migrations: {
      communications: await readMigrations(communications),
      serverDetails: await readMigrations(serverDetails),
      audit: await appliedAudit(audit),
    },
    dataKeys: await serverDetails.query(
      `select 'auth' as service, id::text, ${wrapped} from data_keys
       union all select 'system', id::text, ${wrapped} from system_data_keys`,
    ),
    lastBatch: Number(last!.number),
  }
}

/** About how many bytes there are to write, before they are packed. */
async function estimate(source: BackupSource, reader: Reader, { logs }: BackupOrder): Promise<number> {
  const [files] = await reader.connection<[{ bytes: string }]>`
    select (coalesce(sum(uploaded_size), 0) + coalesce(sum(thumbnail_size), 0))::text as bytes from media_objects`
  const tables = `select coalesce(sum(pg_relation_size(oid)), 0)::text as bytes from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r'`
  const sizeOfTables = async ({ connection }: Reader) =>
    ((await connection.unsafe(tables)) as unknown as [{ bytes: string }])[0]
  const own = await sizeOfTables(reader)
  const other = await openReader(source.serverDetailsUrl, [])
  const details = await sizeOfTables(other).finally(() => other.end())
  const engine = (await sizeOf(source.audit, EVENTS)) + (logs ? await sizeOf(source.audit, LOGS) : 0)
  return [files, own, details].reduce((sum, row) => sum + Number(row.bytes), 0) + engine
}

class ProgressCount {
  total = 0
  #done = 0
  constructor(private readonly tell: ((progress: BackupProgress) => void) | undefined) {}

  add(bytes: number, what: string): void {
    this.#done += bytes
    // The total is an estimate, and it is not done before it is.
    this.tell?.({ done: Math.min(this.#done, Math.floor(this.total * 0.99)), total: this.total, what })
  }

  end(): void {
    this.tell?.({ done: this.total, total: this.total, what: 'all' })
  }
}

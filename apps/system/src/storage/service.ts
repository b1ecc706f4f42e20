import { statfs } from 'node:fs/promises'
import type { MessagingPort, SystemStorage } from '@conntext/contracts'
import { databaseSize } from '@conntext/database'
import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { answerWithin, type Clock, type Logger } from '@conntext/kernel'
import { listGrowth, recordSample } from './queries.ts'

export type StorageDeps = {
  db: ServerDetails
  audit: Audit
  messaging: Pick<MessagingPort, 'storage'>
  clock: Clock
  log: Logger
  dataDirectory?: string | undefined
}

export type Storage = ReturnType<typeof createStorage>
type Measured = Omit<SystemStorage, 'growth'>
type StoreName = Measured['databases'][number]['name']

const FRESH_MS = 60_000
// What could not be asked may be back.
const FRESH_IN_PART_MS = 5_000
const PART_WITHIN_MS = 12_000

/** What takes up how much: asked of whoever has it, at most once a minute, and noted down once a day. */
export function createStorage(deps: StorageDeps) {
  let last: { until: number; found: Promise<Measured> } | undefined

  const measured = (): Promise<Measured> => {
    const now = performance.now()
    if (last && now < last.until) return last.found
    const asked = { until: now + FRESH_MS, found: measure(deps) }
    last = asked
    void asked.found.then(({ databases, media }) => {
      const whole = media !== null && databases.every(({ bytes }) => bytes !== null)
      if (!whole) asked.until = performance.now() + FRESH_IN_PART_MS
    })
    return asked.found
  }

  return {
    async read(): Promise<SystemStorage> {
      const [found, growth] = await Promise.all([measured(), listGrowth(deps.db, deps.clock.now())])
      return { ...found, growth }
    },

    /** The last of a day stands. What can't be asked keeps what was noted before. */
    async sample(): Promise<void> {
      const { takenAt, databases, media } = await measured()
      const stores = [...databases, { name: 'media', bytes: media?.bytes ?? null }]
      const known = stores.flatMap(({ name, bytes }) => (bytes === null ? [] : [{ store: name, bytes }]))
      await recordSample(deps.db, takenAt.slice(0, 10), known)
    },
  }
}

async function measure({ db, audit, messaging, clock, log, dataDirectory }: StorageDeps): Promise<Measured> {
  const part = async <T>(name: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await answerWithin(PART_WITHIN_MS, ask)
    } catch (error) {
      log.warn({ err: error, part: name }, 'what something takes up could not be asked')
      return undefined
    }
  }
  const [details, communications, trail, dataDisk, auditDisk] = await Promise.all([
    part('server_details', () => databaseSize(db)),
    part('communications', () => messaging.storage({})),
    part('audit', () => auditSize(audit)),
    dataDirectory === undefined ? undefined : part('disk', () => diskOf(dataDirectory)),
    part('disk of ClickHouse', () => auditDiskOf(audit)),
  ])
  const database = (name: StoreName, size: typeof details) => ({
    name,
    bytes: size?.bytes ?? null,
    tables: size?.tables ?? [],
  })
  return {
    takenAt: clock.now().toISOString(),
    databases: [
      database('server_details', details),
      database('communications', communications),
      database('audit', trail),
    ],
    media: communications?.media ?? null,
    disks: [
      ...(dataDisk ? [{ name: 'data' as const, ...dataDisk }] : []),
      ...(auditDisk ? [{ name: 'audit' as const, ...auditDisk }] : []),
    ],
  }
}

/** Of the parts that are in use: what has been merged or removed goes within minutes. */
async function auditSize(audit: Audit) {
  const rows = await audit.rows<{ name: string; bytes: string; rows: string }>({
    sql: `SELECT table AS name, sum(bytes_on_disk) AS bytes, sum(rows) AS rows FROM system.parts
      WHERE database = currentDatabase() AND active GROUP BY table ORDER BY bytes DESC, name`,
    params: {},
  })
  const tables = rows.map((row) => ({ name: row.name, bytes: Number(row.bytes), rows: Number(row.rows) }))
  return { bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0), tables }
}

async function diskOf(path: string) {
  const { bavail, blocks, bsize } = await statfs(path)
  return { free: bavail * bsize, total: blocks * bsize }
}

async function auditDiskOf(audit: Audit) {
  const [disk] = await audit.rows<{ free: string; total: string }>({
    sql: 'SELECT min(free_space) AS free, argMin(total_space, free_space) AS total FROM system.disks',
    params: {},
  })
  return disk && { free: Number(disk.free), total: Number(disk.total) }
}

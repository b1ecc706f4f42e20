import { statfs } from 'node:fs/promises'
import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { clockProbe, diskProbe, type Probe, type Processes, seldom } from '@conntext/http'
import { sql } from 'drizzle-orm'
import type { LogStore } from '../logs/store.ts'

const SELDOM_MS = 15_000
const LOST_LATELY_MS = 300_000

type Now = { now: string | number }

/** A moment of another clock, asked for between two of ours: by how much it is ahead, as far as that tells. */
async function skewOf(now: () => Promise<number>): Promise<number> {
  const before = Date.now()
  const theirs = await now()
  const after = Date.now()
  return theirs < before ? theirs - before : theirs > after ? theirs - after : 0
}

export const clocks = ({ db, audit, processes }: { db: ServerDetails; audit: Audit; processes: Processes }): Probe => {
  const postgres = async () => {
    const rows = await db.execute(sql`select extract(epoch from clock_timestamp()) * 1000 as now`)
    return Number((rows as unknown as Now[])[0]?.now)
  }
  const clickhouse = async () => {
    const rows = await audit.rows<Now>({ sql: 'SELECT toUnixTimestamp64Milli(now64(3)) AS now', params: {} })
    return Number(rows[0]?.now)
  }
  const skews = async () => {
    // One that is away is told of as such, by its own probe.
    const [inPostgres, inClickHouse] = await Promise.all(
      [postgres, clickhouse].map((now) => skewOf(now).catch(() => 0)),
    )
    const others = processes.list().filter(({ away }) => !away)
    return {
      Postgres: inPostgres!,
      ClickHouse: inClickHouse!,
      ...Object.fromEntries(
        others.map(({ service, instance, clockSkewMs }) => [`${service} ${instance}`, clockSkewMs]),
      ),
    }
  }
  return seldom(clockProbe(skews), SELDOM_MS)
}

/** The disk that ClickHouse is on; where all is in one place, it is that of everything. */
export const clickHouseDisk = (audit: Audit): Probe =>
  seldom(
    diskProbe('disk of ClickHouse', async () => {
      const rows = await audit.rows<{ free: string; total: string }>({
        sql: 'SELECT min(free_space) AS free, argMin(total_space, free_space) AS total FROM system.disks',
        params: {},
      })
      return { free: Number(rows[0]?.free), total: Number(rows[0]?.total) }
    }),
    SELDOM_MS,
  )

/** The disk that a directory is on. */
export const directoryDisk = (path: string): Probe =>
  seldom(
    diskProbe('disk', async () => {
      const { bavail, blocks, bsize } = await statfs(path)
      return { free: bavail * bsize, total: blocks * bsize }
    }),
    SELDOM_MS,
  )

/** Whether lines of the log were lost lately. */
export function logsProbe(logs: LogStore): Probe {
  let last = { dropped: 0, at: Number.NEGATIVE_INFINITY }
  return {
    name: 'logs',
    critical: false,
    remedy: 'See the log on standard output.',
    async run() {
      if (logs.dropped > last.dropped) last = { dropped: logs.dropped, at: performance.now() }
      if (performance.now() - last.at > LOST_LATELY_MS) return undefined
      return {
        state: 'degraded',
        detail: `Lines of the log were not kept: ${last.dropped} since the start.`,
        remedy:
          'Nothing else is lost. ClickHouse was away for long, or something logs without end: standard output has it.',
      }
    },
  }
}

/** Whether a process has fallen silent that didn't say goodbye. */
export const processesProbe = (processes: Processes): Probe => ({
  name: 'processes',
  critical: false,
  remedy: 'The processes could not be listed.',
  async run() {
    const silent = processes.list().filter(({ away }) => away)
    if (silent.length === 0) return undefined
    return {
      state: 'degraded',
      detail: `Not heard of any more: ${silent.map(({ service, instance }) => `${service} ${instance}`).join(', ')}.`,
      remedy:
        'Start them again, or see their logs for why they ended. What is gone for good is forgotten after an hour.',
    }
  },
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { meters } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { makeWaiting, schedule } from '../src/backups/making.ts'
import { listBackupRows } from '../src/backups/queries.ts'
import type { BackupPlace } from '../src/backups/service.ts'
import { requestBackup } from '../src/backups/service.ts'
import { backupProbe, watchBackups } from '../src/backups/watch.ts'
import { type Backups, backupsOf } from './support/backups.ts'
import { type System, startSystem } from './support/system.ts'

const HOUR_MS = 3_600_000
const MINUTES = 120_000
const never = new AbortController().signal

let system: System
let backups: Backups

beforeAll(async () => {
  system = await startSystem()
  backups = await backupsOf(system)
}, MINUTES)

afterAll(async () => {
  await backups?.[Symbol.asyncDispose]()
  await system?.[Symbol.asyncDispose]()
}, MINUTES)

const daily = (change: Partial<BackupPlace> = {}) => backups.maker({ everyHours: 24, ...change })
const rows = async () => (await listBackupRows(system.databases.system, { limit: 100, after: undefined })).reverse()
/** What the schedule asked for is made at once. Answers whether it had asked. */
async function turn(deps = daily()): Promise<boolean> {
  await schedule(deps)
  return makeWaiting(deps, never)
}
const gauge = async (name: string) =>
  (
    await meters()
      .find((one) => one.name === name)!
      .samples()
  )[0]?.value

test(
  'one is made when it is due and not before; of the scheduled ones the newest stay, with those that were asked for',
  async () => {
    await requestBackup(daily(), {})
    expect(await makeWaiting(daily(), never)).toBe(true)
    expect(await turn()).toBe(true)
    expect(await turn()).toBe(false)
    system.clock.advance(23 * HOUR_MS)
    expect(await turn()).toBe(false)
    system.clock.advance(HOUR_MS)
    await Promise.all([schedule(daily()), schedule(daily()), schedule(daily())])
    expect((await rows()).map(({ state }) => state)).toEqual(['done', 'done', 'waiting'])
    expect(await makeWaiting(daily(), never)).toBe(true)
    const [asked, first, second] = await rows()
    system.clock.advance(24 * HOUR_MS)
    expect(await turn()).toBe(true)
    const left = await rows()
    expect(left.slice(0, 2).map(({ id }) => id)).toEqual([asked!.id, second!.id])
    expect(left.map(({ trigger }) => trigger)).toEqual(['asked', 'scheduled', 'scheduled'])
    expect((await backups.filesIn()).sort()).toEqual(left.map(({ name }) => name).sort())
    expect((await system.trail('backup.deleted'))[0]!.target.id).toBe(first!.id)
  },
  MINUTES,
)

test(
  'health and figures tell of one that is overdue and of one that failed, until one is made',
  async () => {
    const probe = backupProbe(daily())
    const end = watchBackups(daily())
    try {
      await turn()
      const lastAt = await gauge('conntext_backup_last_success_timestamp_seconds')
      expect(await probe.run()).toBeUndefined()
      system.clock.advance(26 * HOUR_MS)
      // Late, and not yet so late that anybody has to be told.
      expect(await probe.run()).toBeUndefined()
      expect(await gauge('conntext_backup_overdue_seconds')).toBeGreaterThanOrEqual(2 * 3_600)
      system.clock.advance(HOUR_MS)
      expect(await probe.run()).toMatchObject({ state: 'degraded', detail: expect.stringContaining('overdue') })

      const broken = daily({ communicationsUrl: 'postgres://nobody@127.0.0.1:1/x' })
      expect(await turn(broken)).toBe(true)
      const failed = { state: 'degraded', detail: expect.stringContaining('failed') }
      expect(await probe.run()).toMatchObject(failed)
      expect(await gauge('conntext_backup_failed')).toBe(1)
      expect(await gauge('conntext_backup_last_success_timestamp_seconds')).toBe(lastAt!)
      expect(await turn()).toBe(false)
      system.clock.advance(HOUR_MS)
      await schedule(daily())
      // That another is tried doesn't make it good.
      expect(await probe.run()).toMatchObject(failed)
      expect(await makeWaiting(daily(), never)).toBe(true)
      expect(await probe.run()).toBeUndefined()
      expect(await gauge('conntext_backup_failed')).toBe(0)
      expect(await gauge('conntext_backup_overdue_seconds')).toBe(0)
      expect(await gauge('conntext_backup_last_success_timestamp_seconds')).toBeGreaterThan(lastAt!)
      expect(await gauge('conntext_backup_last_success_bytes')).toBeGreaterThan(0)
    } finally {
      end()
    }
  },
  MINUTES,
)

test('what is scheduled without anything to encrypt with is told as well', async () => {
  expect(await backupProbe(daily({ sealing: undefined })).run()).toMatchObject({ state: 'degraded' })
  expect(await turn(daily({ sealing: undefined }))).toBe(false)
})

test(
  'one that failed long ago is forgotten',
  async () => {
    expect((await rows()).map(({ state }) => state)).toContain('failed')
    system.clock.advance(91 * 24 * HOUR_MS)
    await turn()
    expect((await rows()).map(({ state }) => state)).not.toContain('failed')
  },
  MINUTES,
)

test(
  'people are told by the health of the server',
  async () => {
    const place = { ...backups.place, everyHours: 24, sealing: undefined }
    const { service } = await system.another({ backups: place })
    try {
      const { dependencies } = await service
        .readiness()
        .then((all) => all.services.find(({ service: name }) => name === 'system')!)
      expect(dependencies.find(({ name }) => name === 'backups')).toMatchObject({
        state: 'degraded',
        remedy: expect.stringContaining('CONNTEXT_BACKUP_RECIPIENTS'),
      })
    } finally {
      await service.stop()
    }
  },
  MINUTES,
)

test(
  'what was made while the clock was ahead stops no other from being made, and displaces none that is made afterwards',
  async () => {
    const kept = daily({ keep: 1 })
    const before = system.clock.now().getTime()
    const YEAR_MS = 365 * 24 * HOUR_MS
    system.clock.advance(YEAR_MS)
    expect(await turn(kept)).toBe(true)
    const ahead = (await rows()).at(-1)!
    expect(ahead.createdAt.getTime()).toBeGreaterThanOrEqual(before + YEAR_MS)
    // Its id would be of that time, too.
    const id = Bun.randomUUIDv7('hex', before + YEAR_MS)
    await system.databases.system.execute(sql`update backups set id = ${id} where id = ${ahead.id}`)
    system.clock.advance(-YEAR_MS)
    expect(await backupProbe(kept).run()).toMatchObject({
      state: 'degraded',
      detail: expect.stringContaining('overdue'),
    })

    expect(await turn(kept)).toBe(true)
    const scheduled = (await rows()).filter(({ trigger, state }) => trigger === 'scheduled' && state === 'done')
    expect(scheduled.map(({ createdAt }) => createdAt.getTime() <= system.clock.now().getTime())).toEqual([true])
    expect(await backups.filesIn()).toContain(scheduled[0]!.name)
    expect(await backups.filesIn()).not.toContain(ahead.name)
    expect(await turn(kept)).toBe(false)
    expect(await backupProbe(kept).run()).toBeUndefined()
  },
  MINUTES,
)

import { describe, expect, test } from 'bun:test'
import type { AuditEvent } from '@conntext/contracts'
import type { ChainedRow } from '@conntext/db-audit'
import { auditErasures, auditPending, auditRetention, auditTasks } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { isNotNull, isNull, sql } from 'drizzle-orm'
import { eraseDue } from '../src/audit/chain/erasure.ts'
import { createSigners } from '../src/audit/chain/keys.ts'
import { readState } from '../src/audit/chain/queries.ts'
import { atTask } from '../src/audit/chain/task.ts'
import { cutExpired } from '../src/audit/retention/service.ts'
import { openStores, storesOf } from './support/process-stores.ts'
import { event, startTrail, type Trail } from './support/trail.ts'

const DAY = 86_400_000
const YEARS_AGO = new Date(Date.now() - 1_000 * DAY).toISOString()

async function depsOf(trail: Trail) {
  const stores = await openStores(storesOf(trail), 'task test')
  return { ...stores, signers: createSigners(stores.keyring), clock: trail.clock }
}

/** Has another process do what is due and die at a moment; answers what it did, undefined where it died. */
async function runAndDie(trail: Trail, task: 'retention' | 'erasure', dieAt: number): Promise<number | undefined> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/support/task-process.ts`], {
    stdin: Buffer.from(JSON.stringify({ stores: storesOf(trail), task, dieAt })),
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const said = await new Response(child.stdout).text()
  return (await child.exited) === 0 ? Number(said) : undefined
}

/** Nobody has to wait until its time is up for a holder who is known to be dead. */
const bury = (trail: Trail) => trail.databases.system.update(auditTasks).set({ heldUntil: new Date(0) })

const rowsOf = (trail: Trail, ids: string[]) =>
  trail.audit.rows<ChainedRow>({ sql: 'SELECT * FROM events WHERE id IN ({ids:Array(UUID)})', params: { ids } })

const old = (): AuditEvent[] =>
  Array.from({ length: 5 }, () => event({ action: 'role.deleted', occurredAt: YEARS_AGO }))
const ids = (events: AuditEvent[]) => events.map(({ id }) => id)

describe('killed -9 before and after each of its writes', () => {
  test('retention is gone on with: every event is removed, and told of, once', async () => {
    await using trail = await startTrail({ batches: 1 })
    const deps = await depsOf(trail)
    await trail.databases.system.insert(auditRetention).values({ category: 'administration', days: 900 })
    let events = 0
    let moments = 1
    for (let isDone = false; !isDone; ) {
      const expired = old()
      await trail.port.ingestAudit({ events: expired })
      events += expired.length
      const done = await runAndDie(trail, 'retention', moments)
      await bury(trail)
      await cutExpired(deps)
      expect({ moments, left: await rowsOf(trail, ids(expired)) }).toEqual({ moments, left: [] })
      if (done === undefined) moments += 1
      else isDone = done === expired.length
    }
    expect(moments).toBeGreaterThan(8)
    const told = await eventually(async () => {
      const cuts = await trail.trail('audit.cut')
      const all = cuts.reduce((sum, { data }) => sum + (data.events as number), 0)
      return all >= events ? { all, cuts: cuts.length } : undefined
    })
    expect(told).toEqual({ all: events, cuts: events / 5 })
    expect((await trail.verify()).findings).toEqual([])
    await deps.db.close()
  }, 120_000)

  test('an erasure is gone on with: nothing is left of the person, which is told of once', async () => {
    await using trail = await startTrail({ batches: 1 })
    const deps = await depsOf(trail)
    const { logId } = await readState(deps.db)
    const people: string[] = []
    let moments = 1
    for (let isDone = false; !isDone; ) {
      const subject = newId()
      people.push(subject)
      const target = { kind: 'user', id: subject }
      const named = event({ action: 'user.registered', target, data: { username: 'erika', via: 'open' } })
      // Each batch that waits is a write of its own: so that there aren't more of them from one round to the next.
      await deps.db.delete(auditPending).where(isNotNull(auditPending.acknowledgedAt))
      await trail.port.ingestAudit({ events: [named, event({ action: 'user.deleted', target, data: {} })] })
      const done = await runAndDie(trail, 'erasure', moments)
      await bury(trail)
      await eventually(async () => {
        await eraseDue(deps, logId)
        return (await deps.db.$count(auditErasures, isNull(auditErasures.doneAt))) === 0
      })
      const [row] = await rowsOf(trail, [named.id])
      expect({ moments, row }).toMatchObject({ moments, row: { personal: '', reason: null } })
      if (done === undefined) moments += 1
      else isDone = done > 0
    }
    expect(moments).toBeGreaterThan(6)
    const told = await trail.trail('audit.personErased', people.length)
    expect(told.map(({ target }) => target.id!).sort()).toEqual([...people].sort())
    expect((await trail.verify()).findings).toEqual([])
    await deps.db.close()
  }, 120_000)
})

test('while ClickHouse works nothing is held open in Postgres, and nobody else begins the same', async () => {
  await using trail = await startTrail({ batches: 1 })
  const deps = await depsOf(trail)
  await trail.port.ingestAudit({ events: old() })
  await deps.db.insert(auditRetention).values({ category: 'administration', days: 900 })
  const seen: unknown[] = []
  const audit = {
    ...deps.audit,
    mutate: async (...args: Parameters<typeof deps.audit.mutate>) => {
      const [open] = (await trail.databases.system.execute(sql`
        select count(*)::int as transactions from pg_stat_activity
        where application_name = 'task test' and xact_start is not null`)) as unknown as object[]
      seen.push({ ...open, other: await cutExpired(deps) })
      await deps.audit.mutate(...args)
    },
  }
  expect(await eventually(() => cutExpired({ ...deps, audit }))).toBe(5)
  expect(seen).toEqual([{ transactions: 0, other: 0 }])
  await deps.db.close()
})

test('a task whose holder is silent for long is taken over, and is no longer theirs', async () => {
  await using trail = await startTrail({ batches: 1 })
  const deps = { db: trail.databases.system, log: silentLogger }
  const taken = await atTask<{ n: number }, string>(deps, 'retention', async (first) => {
    await first.record(async () => ({ n: 1 }))
    expect(await atTask(deps, 'retention', async () => 'both')).toBeUndefined()
    await bury(trail)
    const second = await atTask<{ n: number }, unknown>(deps, 'retention', async (task) => {
      const found = task.step
      await task.record(async () => ({ n: 2 }))
      return found
    })
    expect(second).toEqual({ n: 1 })
    await first.record(async () => ({ n: 3 }))
    return 'still'
  })
  expect(taken).toBeUndefined()
  expect(await deps.db.select().from(auditTasks)).toContainEqual({
    name: 'retention',
    holder: null,
    heldUntil: null,
    step: { n: 2 },
  })
})

test('while a backup reads, nothing begins that it has no record of', async () => {
  await using trail = await startTrail({ batches: 1 })
  const deps = await depsOf(trail)
  const expired = old()
  await trail.port.ingestAudit({ events: expired })
  await deps.db.insert(auditRetention).values({ category: 'administration', days: 900 })
  await deps.db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock_shared(hashtextextended('audit.retention', 0))`)
    expect(await cutExpired(deps)).toBe(0)
    expect(await rowsOf(trail, ids(expired))).toHaveLength(5)
  })
  expect(await eventually(() => cutExpired(deps))).toBe(5)
  expect(await rowsOf(trail, ids(expired))).toEqual([])
  await deps.db.close()
})

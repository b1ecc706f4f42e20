import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createClient } from '@clickhouse/client'
import { newId, SchemaAhead } from '@conntext/kernel'
import {
  type Audit,
  type AuditConnection,
  dropLogDay,
  type EventRow,
  insertLogs,
  isAuditAway,
  type LogRow,
  logDays,
  migrateAudit,
  openAudit,
  selectEvents,
} from '../src/index.ts'
import { migrations as released } from '../src/migrations/index.ts'
import { newDatabase, startEngine } from './support/engine.ts'

let engine: Awaited<ReturnType<typeof startEngine>>
let connection: AuditConnection
let audit: Audit

beforeAll(async () => {
  engine = await startEngine()
  connection = newDatabase(engine.server)
  await migrateAudit(connection)
  audit = openAudit(connection)
})

afterAll(async () => {
  await audit.close()
  await engine.stop()
})

const NOON = '2026-03-01T12:00:00.000Z'
const everything = { from: new Date('2020-01-01T00:00:00Z'), to: new Date('2030-01-01T00:00:00Z') }

const row = (fields: Partial<EventRow> = {}): EventRow => ({
  id: newId(),
  occurred_at: NOON,
  received_at: NOON,
  service: 'auth',
  action: 'role.created',
  severity: 'info',
  outcome: 'done',
  actor_kind: 'user',
  actor_id: newId(),
  session_id: newId(),
  address: '192.0.2.1',
  user_agent: 'test',
  target_kind: 'role',
  target_id: newId(),
  data: JSON.stringify({ name: 'Zoë ☃', nested: { list: [1, 'two', null] } }),
  personal: '',
  reason: null,
  request_id: null,
  trace_id: null,
  ...fields,
})

const find = (filter: Parameters<typeof selectEvents>[1]['filter'], window = everything) =>
  selectEvents(audit, { window, filter, limit: 1000 })

const insert = (rows: EventRow[]) => audit.insert('events', rows, rows.map((one) => one.id).join())

describe('migrations', () => {
  test('instances that start at the same time, and again later, end with one schema and one record', async () => {
    const fresh = newDatabase(engine.server)
    await Promise.all([migrateAudit(fresh), migrateAudit(fresh), migrateAudit(fresh)])
    await migrateAudit(fresh)
    const client = createClient({ ...engine.server, database: fresh.database })
    const result = await client.query({
      query: 'SELECT version, name FROM migrations FINAL ORDER BY version',
      format: 'JSONEachRow',
    })
    expect(await result.json<unknown>()).toEqual(released.map(({ version, name }) => ({ version, name })))
    await client.close()
  })

  test('only what has not been applied yet runs, in order', async () => {
    const fresh = newDatabase(engine.server)
    await migrateAudit(fresh)
    const second = {
      version: 9_000,
      name: 'extra',
      statements: ['CREATE TABLE extra (a UInt8) ENGINE = MergeTree ORDER BY a'],
    }
    const first = {
      version: 1,
      name: 'events',
      statements: ['CREATE TABLE never (a UInt8) ENGINE = MergeTree ORDER BY a'],
    }
    await migrateAudit(fresh, [first, second])
    await migrateAudit(fresh, [first, second])
    const client = createClient({ ...engine.server, database: fresh.database })
    const result = await client.query({ query: 'SHOW TABLES', format: 'JSONEachRow' })
    const tables = (await result.json<{ name: string }>()).map((table) => table.name)
    expect(tables).toContain('extra')
    expect(tables).not.toContain('never')
    await client.close()
  })

  test('a failing migration is not recorded', async () => {
    const fresh = newDatabase(engine.server)
    const broken = { version: 1, name: 'broken', statements: ['CREATE TABLE broken (a NoSuchType)'] }
    await expect(migrateAudit(fresh, [broken])).rejects.toThrow()
    await migrateAudit(fresh)
    const opened = openAudit(fresh)
    await opened.check()
    await opened.close()
  })
})

describe('events', () => {
  test('a row comes back exactly as it was stored, every column', async () => {
    const stored = row({ occurred_at: '2026-03-01T12:00:00.123Z', reason: 'tab\there', request_id: 'r-1' })
    const empty = row({
      actor_id: null,
      session_id: null,
      address: null,
      user_agent: null,
      target_id: null,
      data: '{}',
    })
    await insert([stored, empty])
    expect(await find({ ids: [stored.id] })).toEqual([stored])
    expect(await find({ ids: [empty.id] })).toEqual([empty])
  })

  test('a repeated batch is stored once', async () => {
    const rows = [row(), row()]
    await Promise.all([insert(rows), insert(rows)])
    await insert(rows)
    expect(await find({ ids: rows.map((one) => one.id) })).toHaveLength(2)
  })

  test('paging through equal times loses and repeats nothing', async () => {
    const target = newId()
    const times = ['2026-04-01T00:00:00.000Z', '2026-04-01T00:00:00.001Z', '2026-05-01T00:00:00.000Z']
    const rows = Array.from({ length: 90 }, (_, i) =>
      row({ target_id: target, occurred_at: times[i % 3]!, id: i % 2 ? newId() : crypto.randomUUID() }),
    )
    await insert(rows)
    const seen: EventRow[] = []
    for (;;) {
      const last = seen.at(-1)
      const after = last && { occurredAt: new Date(last.occurred_at), id: last.id }
      const page = await selectEvents(audit, { window: everything, filter: { targetId: target }, after, limit: 7 })
      if (page.length === 0) break
      seen.push(...page)
    }
    expect(seen.map((one) => one.id).sort()).toEqual(rows.map((one) => one.id).sort())
    const order = seen.map((one) => one.occurred_at)
    expect(order).toEqual([...order].sort().reverse())
  })

  test('both ends of the window belong to it, and nothing beyond', async () => {
    const target = newId()
    const at = (occurred_at: string) => row({ target_id: target, occurred_at })
    const rows = ['59.999', '60.000', '60.001', '60.002'].map((s) =>
      at(new Date(Date.parse('2026-06-01T00:00:00Z') + Number(s) * 1000).toISOString()),
    )
    await insert(rows)
    const window = { from: new Date('2026-06-01T00:01:00.000Z'), to: new Date('2026-06-01T00:01:00.001Z') }
    expect((await find({ targetId: target }, window)).map((one) => one.id)).toEqual([rows[2]!.id, rows[1]!.id])
  })

  test.each([
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    '\\',
    "\\'",
    'a\tb\nc\rd',
    '{from:Int64}',
    '\\N',
    '‘“$$',
    '\0',
    'é☃𝄞',
  ])('a value is only ever a value: %j', async (hostile) => {
    const mine = row({ target_id: hostile, action: hostile, service: hostile, outcome: hostile, severity: hostile })
    await insert([mine])
    const fields = ['targetId', 'action', 'service', 'outcome', 'severity'] as const
    for (const field of fields) expect(await find({ [field]: hostile })).toEqual([mine])
  })

  test('a thousand ids are looked up at once', async () => {
    const rows = Array.from({ length: 1000 }, () => row())
    await insert(rows.slice(0, 10))
    const stored = await find({ ids: rows.map((one) => one.id) })
    expect(new Set(stored.map((one) => one.id))).toEqual(new Set(rows.slice(0, 10).map((one) => one.id)))
  })

  test('reads cannot write', async () => {
    await expect(audit.rows({ sql: 'TRUNCATE TABLE events', params: {} })).rejects.toThrow()
  })
})

test('an engine that is away, or has no schema, is told from a wrong query', async () => {
  const failure = (opened: Audit, sql?: string) =>
    (sql ? opened.rows({ sql, params: {} }) : opened.check()).then(
      () => undefined,
      (error: unknown) => error,
    )
  const nowhere = openAudit({ ...connection, url: 'http://127.0.0.1:1' })
  const unmigrated = openAudit({ ...connection, database: 'nowhere' })
  const refused = openAudit({ ...connection, password: 'wrong' })
  expect(isAuditAway(await failure(nowhere))).toBe(true)
  expect(isAuditAway(await failure(unmigrated))).toBe(true)
  expect(isAuditAway(await failure(refused))).toBe(true)
  expect(await failure(audit)).toBeUndefined()
  expect(isAuditAway(await failure(audit, 'SELECT nonsense FROM events'))).toBe(false)
  await Promise.all([nowhere.close(), unmigrated.close(), refused.close()])
})

test('logs go by whole days', async () => {
  const fresh = newDatabase(engine.server)
  await migrateAudit(fresh)
  const logs = openAudit(fresh)
  const line = (at: string): LogRow => ({
    ...{ id: newId(), at, service: 'auth', instance: 'here', level: 'info', message: at },
    ...{ request_id: null, trace_id: null, fields: '{}' },
  })
  const today = new Date().toISOString().slice(0, 10)
  const longAgo = new Date(Date.now() - 300 * 86_400_000).toISOString().slice(0, 10)
  await insertLogs(logs, [line(`${today}T00:00:00.000Z`), line(`${longAgo}T23:59:59.999Z`)])
  expect(await logDays(logs)).toEqual([longAgo, today])
  await dropLogDay(logs, longAgo)
  await dropLogDay(logs, longAgo)
  expect(await logDays(logs)).toEqual([today])
  await logs.close()
})

test('events and logs of every older schema are read as before; a newer schema is refused', async () => {
  for (let known = 1; known <= released.length; known += 1) {
    const fresh = newDatabase(engine.server)
    await migrateAudit(fresh, released.slice(0, known))
    const client = createClient({ ...engine.server, database: fresh.database })
    const columns = await client.query({
      query: "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'events'",
      format: 'JSONEachRow',
    })
    const had = new Set((await columns.json<{ name: string }>()).map(({ name }) => name))
    const event = row()
    const older = Object.fromEntries(Object.entries(event).filter(([name]) => had.has(name)))
    const settings = { date_time_input_format: 'best_effort' } as const
    await client.insert({ table: 'events', values: [older], format: 'JSONEachRow', clickhouse_settings: settings })
    await Promise.all([migrateAudit(fresh), migrateAudit(fresh)])
    const opened = openAudit(fresh)
    await opened.check()
    expect(await selectEvents(opened, { window: everything, filter: {}, limit: 10 })).toMatchObject([older])
    await opened.insert('events', [row()], newId())
    expect(await selectEvents(opened, { window: everything, filter: {}, limit: 10 })).toHaveLength(2)
    await client.insert({ table: 'migrations', values: [{ version: 9_999, name: 'newer' }], format: 'JSONEachRow' })
    const failure = await migrateAudit(fresh).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(SchemaAhead)
    expect(isAuditAway(failure)).toBe(false)
    await Promise.all([opened.close(), client.close()])
  }
}, 60_000)

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type SystemHealth, systemActor } from '@conntext/contracts'
import { auditPending, systemOutbox } from '@conntext/db-server-details'
import { eventually } from '@conntext/testing'
import { isNull, sql } from 'drizzle-orm'
import { recordAudit, systemAudit } from '../src/recorder.ts'
import { startProxy } from './support/proxy.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

let proxy: Awaited<ReturnType<typeof startProxy>>
let system: System
let admin: Caller

beforeAll(async () => {
  system = await startSystem({
    async clickhouseUrl(real) {
      proxy = await startProxy(real)
      return proxy.url
    },
  })
  admin = await system.member('administrator')
})
afterAll(async () => {
  await system[Symbol.asyncDispose]()
  await proxy.close()
})

const health = async () => (await system.call('GET', '/v1/system/health', admin)).body as SystemHealth
const kept = () => system.databases.system.$count(systemOutbox, isNull(systemOutbox.deliveredAt))
const part = (found: SystemHealth, name: string) =>
  found.services.find((one) => one.service === 'system')!.dependencies.find((one) => one.name === name)!

describe('with ClickHouse away', () => {
  test('the trail cannot be read, all else goes on, and every event arrives once it is back', async () => {
    await system.trail('system.started')
    expect((await health()).state).toBe('up')
    proxy.away()
    const events = await system.call('GET', '/v1/audit/events', admin)
    expect(events).toMatchObject({
      status: 503,
      body: { code: 'dependency.away', detail: 'The audit database is away for the moment.' },
    })
    expect(events.headers.get('content-type')).toBe('application/problem+json')
    expect(Number(events.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(JSON.stringify(events.body)).not.toContain('ECONN')
    const names = Array.from({ length: 10 }, (_, i) => `during-${i}`)
    const made = await Promise.all(
      names.map((name) => system.call('POST', '/v1/channels', admin, { name, type: 'text' })),
    )
    expect(made.map((answer) => answer.status)).toEqual(Array(10).fill(201))
    expect(await system.call('GET', '/v1/server')).toMatchObject({ status: 200 })
    await expect(system.port.ingestAudit({ events: [] })).resolves.toEqual({})
    const degraded = await health()
    expect(degraded.state).toBe('degraded')
    expect(part(degraded, 'clickhouse')).toMatchObject({ state: 'down', remedy: expect.stringContaining('ClickHouse') })
    expect(part(degraded, 'postgres').state).toBe('up')
    expect(await kept()).toBeGreaterThanOrEqual(10)
    system.clock.advance(61_000)
    expect(part(await health(), 'outbox')).toMatchObject({ state: 'degraded', remedy: expect.any(String) })
    proxy.back()
    const trail = await system.trail('channel.created', 11)
    expect(trail.map((event) => event.data.name).sort()).toEqual([...names, 'general'].sort())
    await eventually(async () => (await health()).state === 'up')
  })

  test('for an hour: what is owed waits in the outbox, and comes once each, in order, with nobody helping', async () => {
    const HOUR_MS = 3_600_000
    const OWN = 3_000
    await eventually(async () => (await kept()) === 0)
    const pendingBefore = await system.databases.system.$count(auditPending)
    const began = system.clock.now()
    const made = (count: number, target: string) =>
      Array.from({ length: count }, () => systemAudit('channel.deleted', systemActor, target, { name: 'x' }))
    const [own, others] = [made(OWN, 'own'), made(500, 'another service')]
    proxy.away()
    for (let at = 0; at < OWN; at += 500) {
      await recordAudit(system.databases.system, own.slice(at, at + 500))
      system.clock.advance(HOUR_MS / 6)
    }
    // Another service tries again and again meanwhile: what it repeats must not pile up here.
    for (let i = 0; i < 20; i += 1) {
      const refused = system.port.ingestAudit({ events: others })
      await expect(refused).rejects.toMatchObject({ status: 503 })
    }
    expect((await system.databases.system.$count(auditPending)) - pendingBefore).toBeLessThanOrEqual(2)
    expect(await kept()).toBeGreaterThanOrEqual(OWN)
    const owed = part(await health(), 'outbox')
    expect(owed).toMatchObject({ state: 'degraded', remedy: expect.stringContaining('ClickHouse') })
    expect(Number(/waiting for (\d+) s/.exec(owed.detail!)?.[1])).toBeGreaterThanOrEqual(3_500)
    const clickhouse = part(await health(), 'clickhouse')
    expect(clickhouse).toMatchObject({ state: 'down', remedy: expect.stringContaining('ClickHouse') })
    expect(Date.parse(clickhouse.since)).toBeGreaterThanOrEqual(began.getTime())
    expect((await system.call('POST', '/v1/channels', admin, { name: 'meanwhile', type: 'text' })).status).toBe(201)

    proxy.back()
    await eventually(
      () =>
        system.port.ingestAudit({ events: others }).then(
          () => true,
          () => false,
        ),
      60_000,
    )
    await eventually(async () => (await kept()) === 0, 60_000)
    const stored = await system.audit.rows<{ id: string; target_id: string }>({
      sql: `SELECT id, target_id FROM events WHERE target_id IN ('own', 'another service')
        ORDER BY batch, batch_index`,
      params: {},
    })
    const of = (target: string) => stored.filter((row) => row.target_id === target).map(({ id }) => id)
    expect(of('own')).toEqual(own.map(({ id }) => id))
    expect(of('another service')).toEqual(others.map(({ id }) => id))
    await eventually(async () => (await health()).state === 'up', 30_000)
  }, 120_000)

  test('a row that a receiver refuses is told of by health', async () => {
    await system.databases.system.insert(systemOutbox).values({
      id: crypto.randomUUID(),
      topic: 'stream',
      payload: { id: 'not a uuid', stream: 'server', type: 'x', at: new Date().toISOString(), data: {} },
    })
    await eventually(async () => part(await health(), 'outbox').detail?.includes('refused'))
    expect(part(await health(), 'outbox')).toMatchObject({ state: 'degraded', remedy: expect.any(String) })
    await system.databases.system.delete(systemOutbox).where(isNull(systemOutbox.deliveredAt))
    expect(part(await health(), 'outbox').state).toBe('up')
  })
})

describe('GET /v1/system/health', () => {
  test('shows every service; one that fails is down, and so is the whole', async () => {
    await using broken = await startSystem({
      auth: { ...system.deps.auth, health: () => Promise.reject(new Error('connection refused')) },
      realtime: { health: async () => ({ service: 'realtime', state: 'degraded', dependencies: [] }) },
    })
    const viewer = await broken.member('system.view')
    const answer = await broken.call('GET', '/v1/system/health', viewer)
    expect(answer).toMatchObject({ status: 200, body: { state: 'down' } })
    const { services } = answer.body as SystemHealth
    expect(services.map(({ service, state }) => [service, state])).toEqual([
      ['system', 'up'],
      ['auth', 'down'],
      ['messaging', 'up'],
      ['realtime', 'degraded'],
    ])
    expect(services[1]!.dependencies[0]).toMatchObject({ detail: 'connection refused', remedy: expect.any(String) })
    broken.clock.advance(5_000)
    const again = (await broken.call('GET', '/v1/system/health', viewer)).body as SystemHealth
    expect(again.services[1]!.dependencies[0]!.since).toBe(services[1]!.dependencies[0]!.since)
    expect(await broken.service.readiness()).toMatchObject({ state: 'down' })
    expect((await broken.port.health({})).dependencies.map((one) => one.name)).toEqual([
      'postgres',
      'clickhouse',
      'outbox',
      'bus',
      'clocks',
      'clock',
      'disk of ClickHouse',
      'logs',
      'processes',
      'backups',
    ])
  })

  test('is for those alone who may', async () => {
    expect(await system.call('GET', '/v1/system/health')).toMatchObject({ status: 401 })
    expect(await system.call('GET', '/v1/system/health', await system.member())).toMatchObject({ status: 403 })
  })
})

test('with Postgres away the answer is a problem that says to come back', async () => {
  await using lost = await startSystem()
  await lost.databases.system.execute(sql`select 1`)
  const viewer = await lost.member('system.view')
  await lost.databases.system.close()
  const answer = await lost.call('GET', '/v1/server')
  expect(answer).toMatchObject({ status: 503, body: { code: 'dependency.away' } })
  const found = (await lost.call('GET', '/v1/system/health', viewer)).body as SystemHealth
  expect(found.services[0]).toMatchObject({ service: 'system', state: 'down' })
})

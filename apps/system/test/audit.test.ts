import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AuditEvent, auditFor, type Page, systemActor } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import postgres from 'postgres'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let auditor: Caller
let member: Caller

beforeAll(async () => {
  system = await startSystem()
  auditor = await system.member('audit.view')
  member = await system.member()
})
afterAll(() => system[Symbol.asyncDispose]())

const event = (fields: Partial<AuditEvent> = {}): AuditEvent => ({
  ...auditFor('auth')('role.deleted', { ...systemActor, kind: 'user', id: newId() }, newId(), { name: 'x' }),
  ...fields,
})
const about = (targetId: string): Pick<AuditEvent, 'target'> => ({ target: { kind: 'role', id: targetId } })
const get = (query: Record<string, string>, caller: Caller = auditor) =>
  system.call('GET', `/v1/audit/events?${new URLSearchParams(query)}`, caller)
const items = async (query: Record<string, string>) => ((await get(query)).body as Page<AuditEvent>).items
async function pages(query: Record<string, string>): Promise<AuditEvent[][]> {
  const found: AuditEvent[][] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { body } = await get({ ...query, ...(cursor === '' ? {} : { cursor }) })
    const page = body as Page<AuditEvent>
    found.push(page.items)
    cursor = page.nextCursor
  }
  return found
}
const ago = (ms: number) => new Date(Date.now() - ms).toISOString()
const DAY = 86_400_000

describe('ingest', () => {
  test('an event comes back field by field as it was sent', async () => {
    const sent = event({
      severity: 'warning',
      outcome: 'failed',
      actor: { kind: 'bot', id: newId(), sessionId: newId(), address: '2001:db8::1', userAgent: 'a "quoted" agent' },
      data: { list: [1, 'ü', null, { deep: true }], text: 'tab\tnew\nline \\ \u0000 ☃' },
      reason: 'because',
      requestId: 'r-1',
    })
    await system.port.ingestAudit({ events: [sent] })
    expect(await items({ targetId: sent.target.id! })).toEqual([sent])
    expect(await system.call('GET', `/v1/audit/events/${sent.id}`, auditor)).toMatchObject({ status: 200, body: sent })
  })

  test('batches that are repeated, reordered, overlapping and simultaneous, by two instances, are stored once', async () => {
    const target = newId()
    const events = Array.from({ length: 200 }, (_, i) => event({ ...about(target), occurredAt: ago(i * DAY) }))
    const second = await system.another()
    const shuffled = () => [...events].sort(() => Math.random() - 0.5)
    const batches = Array.from({ length: 12 }, (_, i) => (i % 3 ? shuffled().slice(0, 150) : events))
    await Promise.all(
      batches.map((batch, i) => (i % 2 ? system : second).port.ingestAudit({ events: [...batch, batch[0]!] })),
    )
    await second.service.stop()
    const rows = await system.audit.rows<{ id: string }>({
      sql: 'SELECT id FROM events WHERE target_id = {target:String}',
      params: { target },
    })
    expect(rows.map((row) => row.id).sort()).toEqual(events.map((one) => one.id).sort())
  })

  test('batches that have to wait do not keep connections from everybody else', async () => {
    const other = postgres(system.databases.adminUrl, { max: 1 })
    const release = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const holding = other.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(hashtextextended('audit.ingest', 0))`
      held.resolve()
      await release.promise
    })
    await held.promise
    const waiting = Array.from({ length: 20 }, () => system.port.ingestAudit({ events: [event()] }))
    const answer = system.call('GET', '/v1/server')
    const first = await Promise.race([answer, Bun.sleep(20_000)])
    release.resolve()
    expect(first).toMatchObject({ status: 200 })
    await Promise.all([holding, ...waiting])
    await other.end()
  })

  test('what cannot be stored is refused as such, so that it does not block the rest', async () => {
    const impossible = event({ occurredAt: '1900-01-01T00:00:00.000Z' })
    await expect(system.port.ingestAudit({ events: [impossible] })).rejects.toMatchObject({ status: 422 })
    const foreign = { ...event(), service: 'mallory' } as unknown as AuditEvent
    await expect(system.port.ingestAudit({ events: [foreign] })).rejects.toMatchObject({ status: 422 })
    await system.port.ingestAudit({ events: [] })
  })
})

describe('GET /v1/audit/events', () => {
  test('paging over equal times loses and repeats nothing, newest first', async () => {
    const target = newId()
    const times = [ago(3000), ago(2000), ago(1000)]
    const events = Array.from({ length: 60 }, (_, i) => event({ ...about(target), occurredAt: times[i % 3]! }))
    await system.port.ingestAudit({ events })
    const found = await pages({ targetId: target, limit: '7' })
    expect(found.map((page) => page.length)).toEqual([7, 7, 7, 7, 7, 7, 7, 7, 4])
    const all = found.flat()
    expect(all.map((one) => one.id).sort()).toEqual(events.map((one) => one.id).sort())
    expect(all.map((one) => one.occurredAt)).toEqual(
      all
        .map((one) => one.occurredAt)
        .sort()
        .reverse(),
    )
  })

  test('what happens between two pages moves nothing', async () => {
    const target = newId()
    const events = [3, 2, 1].map((s) => event({ ...about(target), occurredAt: ago(s * 1000) }))
    await system.port.ingestAudit({ events })
    const first = (await get({ targetId: target, limit: '2' })).body as Page<AuditEvent>
    await system.port.ingestAudit({ events: [event(about(target))] })
    const second = (await get({ targetId: target, limit: '2', cursor: first.nextCursor! })).body as Page<AuditEvent>
    expect([...first.items, ...second.items].map((one) => one.id)).toEqual(events.map((one) => one.id).reverse())
    expect(second.nextCursor).toBeNull()
  })

  test('the default window does not move on from page to page', async () => {
    await using fresh = await startSystem()
    const reader = await fresh.member('audit.view')
    const target = newId()
    const events = [DAY, 30 * DAY - 30_000].map((age) => event({ ...about(target), occurredAt: ago(age) }))
    await fresh.port.ingestAudit({ events })
    const path = `/v1/audit/events?targetId=${target}&limit=1`
    const first = (await fresh.call('GET', path, reader)).body as Page<AuditEvent>
    fresh.clock.advance(60_000)
    const second = (await fresh.call('GET', `${path}&cursor=${first.nextCursor}`, reader)).body as Page<AuditEvent>
    expect(second.items).toEqual([events[1]!])
    expect((await fresh.call('GET', path, reader)).body).toMatchObject({ nextCursor: null })
  })

  test('every filter narrows, and all together', async () => {
    const wanted = event({ severity: 'warning', outcome: 'refused', action: `a.${newId()}` })
    const others = [event({ action: wanted.action }), event({ severity: 'warning' }), event({ outcome: 'refused' })]
    await system.port.ingestAudit({ events: [wanted, ...others] })
    const filters = {
      action: wanted.action,
      actorId: wanted.actor.id!,
      targetId: wanted.target.id!,
      service: 'auth',
      outcome: 'refused',
      severity: 'warning',
    }
    expect(await items(filters)).toEqual([wanted])
    expect(await items({ action: wanted.action })).toHaveLength(2)
    for (const [name, value] of Object.entries({ ...filters, service: 'system', outcome: 'done', severity: 'info' })) {
      const differs = value === filters[name as keyof typeof filters] ? newId() : value
      expect(await items({ ...filters, [name]: differs })).toEqual([])
    }
  })

  test('without a beginning it shows the last thirty days, with one whatever is asked for', async () => {
    const target = newId()
    const at = (days: number) => event({ ...about(target), occurredAt: ago(days * DAY) })
    const [recent, older, oldest] = [at(29), at(31), at(59)]
    await system.port.ingestAudit({ events: [recent, older, oldest] })
    const ids = async (query: Record<string, string>) => (await items({ targetId: target, ...query })).map((e) => e.id)
    expect(await ids({})).toEqual([recent.id])
    expect(await ids({ from: ago(40 * DAY) })).toEqual([recent.id, older.id])
    expect(await ids({ to: ago(30 * DAY) })).toEqual([older.id, oldest.id])
    expect(await ids({ from: ago(60 * DAY), to: ago(32 * DAY) })).toEqual([oldest.id])
    expect(await ids({ from: older.occurredAt, to: older.occurredAt })).toEqual([older.id])
    expect((await pages({ targetId: target, from: ago(90 * DAY), limit: '1' })).flat()).toHaveLength(3)
  })

  test.each(["' OR 1=1 --", "'; DROP TABLE events; --", "\\' OR 1=1", '{from:Int64}', '%', '*'])(
    'a hostile value finds what is equal to it, and nothing else: %s',
    async (hostile) => {
      const mine = event({ ...about(hostile), action: hostile })
      await system.port.ingestAudit({ events: [mine, event()] })
      expect(await items({ targetId: hostile })).toEqual([mine])
      expect(await items({ action: hostile })).toEqual([mine])
      for (const name of ['actorId', 'service', 'outcome', 'severity', 'from', 'to', 'limit', 'cursor']) {
        expect(await get({ [name]: hostile })).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
      }
      expect(await get({ [hostile]: 'x' })).toMatchObject({ status: 422 })
    },
  )

  test('a cursor that was tampered with, and a window that ends before it begins, are refused', async () => {
    const forge = (text: string) => Buffer.from(text).toString('base64url')
    for (const cursor of [forge(`0 0 ${newId()} x`), forge("0 0 ' OR 1=1"), forge(`-1 0 ${newId()}`), forge('')]) {
      expect(await get({ cursor: cursor || '_' })).toMatchObject({ status: 422 })
    }
    const backwards = { from: ago(1000), to: ago(2000) }
    expect(await get(backwards)).toMatchObject({ status: 422, body: { code: 'audit.badWindow' } })
    expect(await get({ from: '2999-01-01T00:00:00Z' })).toMatchObject({ status: 422 })
  })

  test('is for those alone who may, one event as well', async () => {
    const path = `/v1/audit/events/${newId()}`
    expect(await system.call('GET', '/v1/audit/events')).toMatchObject({ status: 401 })
    expect(await get({}, member)).toMatchObject({ status: 403 })
    expect(await system.call('GET', path)).toMatchObject({ status: 401 })
    expect(await system.call('GET', path, member)).toMatchObject({ status: 403 })
    expect(await system.call('GET', path, auditor)).toMatchObject({ status: 404, body: { code: 'audit.notFound' } })
    expect(await system.call('GET', '/v1/audit/events/x', auditor)).toMatchObject({ status: 422 })
  })

  test('one event is found by its id, however old it is and whatever kind of id it has', async () => {
    const old = event({ occurredAt: '2001-02-03T04:05:06.789Z' })
    const odd = event({ id: crypto.randomUUID() })
    await system.port.ingestAudit({ events: [old, odd] })
    for (const one of [old, odd]) {
      expect(await system.call('GET', `/v1/audit/events/${one.id}`, auditor)).toMatchObject({ status: 200, body: one })
    }
  })
})

describe('what is recorded of the trail itself', () => {
  test('reading is, with its filters but not their values, once a minute for each reader', async () => {
    const reader = await system.member('audit.view')
    const mine = async () => (await items({ action: 'audit.queried', actorId: reader.userId })).map((one) => one.data)
    const read = (path: string) => system.call('GET', path, reader)
    await Promise.all([1, 2, 3].map(() => read('/v1/audit/events?action=a&outcome=done&limit=1')))
    await eventually(async () => (await mine()).length > 0)
    await read(`/v1/audit/events/${newId()}`)
    system.clock.advance(61_000)
    await read('/v1/audit/events')
    await eventually(async () => (await mine()).length > 1)
    expect(await mine()).toEqual([{ filters: [] }, { filters: ['action', 'outcome'] }])
    // A clock that was ahead must not make a reader invisible until it has caught up.
    system.clock.advance(-86_400_000)
    await read('/v1/audit/events?limit=1')
    system.clock.advance(86_400_000)
    await eventually(async () => (await mine()).length > 2)
  })

  test('a refusal is, once a minute for each caller, permission and route, and at its end its repeats', async () => {
    const stranger = await system.member()
    for (let i = 0; i < 5; i += 1) await get({}, stranger)
    await system.call('POST', '/v1/invites', stranger, {})
    const mine = async () => items({ action: 'access.refused', actorId: stranger.userId })
    const refused = await eventually(async () => ((await mine()).length >= 2 ? await mine() : undefined))
    expect(refused.map(({ target, data, outcome }) => ({ target, data, outcome }))).toEqual([
      { target: { kind: 'route', id: 'POST /v1/invites' }, data: { permission: 'invite.create' }, outcome: 'refused' },
      { target: { kind: 'route', id: 'GET /v1/audit/events' }, data: { permission: 'audit.view' }, outcome: 'refused' },
    ])
    system.clock.advance(61_000)
    await get({}, stranger)
    const later = await eventually(async () => ((await mine()).length >= 4 ? await mine() : undefined))
    // Two events of one millisecond stand in either order.
    const added = later.filter((event) => !refused.some(({ id }) => id === event.id)).map(({ data }) => data)
    expect(added).toHaveLength(2)
    expect(added).toContainEqual({ permission: 'audit.view' })
    expect(added).toContainEqual({ permission: 'audit.view', repeats: 4 })
  })
})

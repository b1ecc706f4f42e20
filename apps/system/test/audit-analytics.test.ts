import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import {
  type AuditEvent,
  type AuditFacets,
  type AuditSqlResult,
  type AuditStats,
  auditFor,
  systemActor,
} from '@conntext/contracts'
import type { Caller as CallerOf } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { getFacets, getStats } from '../src/audit/stats/service.ts'
import { Tails, type TailTimes } from '../src/audit/tail/service.ts'
import type { Recorder } from '../src/recorder.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let auditor: Caller
let administrator: Caller
let member: Caller
let events: AuditEvent[]
const actors = [newId(), newId(), newId()]
const target = newId()
const START = Date.UTC(2026, 0, 10, 23, 30)
const window = { from: '2026-01-10T00:00:00Z', to: '2026-01-14T12:00:00Z' }

const make = (fields: Partial<AuditEvent> = {}): AuditEvent => ({
  ...auditFor('auth')('role.deleted', { ...systemActor, kind: 'user', id: newId() }, newId(), { name: 'x' }),
  ...fields,
})
const hostile = '=HYPERLINK("http://example.org";"x")'

beforeAll(async () => {
  system = await startSystem()
  auditor = await system.member('audit.view')
  administrator = await system.member('administrator')
  member = await system.member()
  events = Array.from({ length: 90 }, (_, i) =>
    make({
      occurredAt: new Date(START + i * 3_000_000).toISOString(),
      action: ['member.kicked', 'member.banned', 'role.created'][i % 3]!,
      severity: (['info', 'notice', 'warning'] as const)[i % 3]!,
      actor: {
        kind: i % 2 ? 'user' : 'bot',
        id: actors[i % 3]!,
        sessionId: null,
        address: i % 2 ? `192.0.2.${i}` : `2001:db8::${i}`,
        userAgent: i === 7 ? '@SUM(A1)' : i === 8 ? '＝1+1' : 'agent/1, "quoted"',
      },
      target: { kind: 'user', id: i < 45 ? target : newId() },
      data: i % 10 ? {} : { list: [1, 'ü ☃', null], text: 'tab\tnew\nline / \\ "q"' },
      reason: i === 5 ? hostile : i === 6 ? 'Spam, of course' : null,
      requestId: `r-${i}`,
      ...(i === 3 ? { traceId: 'ab'.repeat(16) } : {}),
    }),
  )
  await system.port.ingestAudit({ events })
})
afterAll(() => system[Symbol.asyncDispose]())

const get = (path: string, query: Record<string, string> = {}, caller: Caller = auditor) =>
  system.call('GET', `${path}?${new URLSearchParams(query)}`, caller)
const found = async (query: Record<string, string>) =>
  ((await get('/v1/audit/events', { ...window, limit: '100', ...query })).body as { items: AuditEvent[] }).items
    .map((event) => events.findIndex(({ id }) => id === event.id))
    .sort((a, b) => a - b)
const those = (wanted: (event: AuditEvent, i: number) => boolean) =>
  events.flatMap((event, i) => (wanted(event, i) ? [i] : []))

describe('filters', () => {
  test.each<[Record<string, string>, (event: AuditEvent, i: number) => boolean]>([
    [{ action: 'member.kicked,role.created' }, ({ action }) => action !== 'member.banned'],
    [{ action: 'member.*' }, ({ action }) => action.startsWith('member.')],
    [{ action: 'member.*, role.created' }, () => true],
    [{ action: 'memb.*' }, () => false],
    [{ actorKind: 'bot' }, ({ actor }) => actor.kind === 'bot'],
    [{ targetKind: 'user', targetId: target }, (_, i) => i < 45],
    [{ targetKind: 'role' }, () => false],
    [{ address: '192.0.2.5' }, (_, i) => i === 5],
    [{ address: '192.0.2.0/29' }, (_, i) => i % 2 === 1 && i < 8],
    [{ address: '2001:db8::/32' }, (_, i) => i % 2 === 0],
    [{ address: '2001:0db8:0:0::0008' }, (_, i) => i === 8],
    [{ requestId: 'r-17' }, (_, i) => i === 17],
    [{ reason: 'SPAM' }, (_, i) => i === 6],
    [{ reason: '%' }, () => false],
    [{ minSeverity: 'notice' }, ({ severity }) => severity !== 'info'],
    [{ minSeverity: 'notice', severity: 'info' }, () => false],
    [{ sessionId: newId() }, () => false],
  ])('%j', async (query, wanted) => {
    expect(await found(query)).toEqual(those(wanted))
  })

  test('what makes no sense is refused', async () => {
    for (const query of [
      { address: '1.2.3' },
      { address: '192.0.2.0/33' },
      { address: '192.0.2.0/8/8' },
      { address: "::1' OR 1" },
      { address: 'fe80::1%eth0' },
      { action: 'a,,b' },
      { minSeverity: 'grave' },
      { actorKind: 'cat' },
      { sessionId: 'x' },
    ] as Record<string, string>[]) {
      for (const path of [
        '/v1/audit/events',
        '/v1/audit/facets',
        '/v1/audit/stats',
        '/v1/audit/tail',
        '/v1/audit/export',
      ]) {
        const more: Record<string, string> = path.endsWith('export') ? { format: 'csv' } : {}
        expect({ query, path, ...(await get(path, { ...query, ...more })) }).toMatchObject({ status: 422 })
      }
    }
  })
})

const READS = ['/v1/audit/facets', '/v1/audit/stats', '/v1/audit/export?format=csv', '/v1/audit/tail']

test.each(READS)('%s is for those alone who may read the trail', async (path) => {
  expect(await system.call('GET', path)).toMatchObject({ status: 401 })
  expect(await system.call('GET', path, member)).toMatchObject({ status: 403 })
})

describe('GET /v1/audit/facets', () => {
  test('counts what passes the filters', async () => {
    const { body } = await get('/v1/audit/facets', { ...window, action: 'member.*' })
    const { total, actions, actors: who, severities, actorKinds } = body as AuditFacets
    expect(total).toBe(60)
    expect(actions).toEqual([
      { value: 'member.banned', count: 30 },
      { value: 'member.kicked', count: 30 },
    ])
    expect(severities.map(({ value }) => value)).toEqual(['info', 'notice'])
    expect(actorKinds.reduce((sum, { count }) => sum + count, 0)).toBe(60)
    expect(who.map(({ value }) => value).sort()).toEqual([actors[0]!, actors[1]!].sort())
  })

  test('what takes the engine too long to count is said to, and not that it is away', async () => {
    const endless =
      'SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1 SETTINGS max_execution_time = 0.1'
    const audit = { ...system.audit, rows: <T>() => system.audit.rows<T>({ sql: endless, params: {} }) }
    const deps = { audit, clock: system.clock, recorder: { queried: async () => {} } as unknown as Recorder }
    const asked = [getFacets(deps, {} as never, {}), getStats(deps, {} as never, { groupBy: 'address' })]
    for (const one of await Promise.allSettled(asked)) {
      expect((one as PromiseRejectedResult).reason).toMatchObject({ code: 'audit.tooMuchToCount', status: 422 })
    }
  })

  test('has a window', async () => {
    expect(await get('/v1/audit/facets', { from: window.to, to: window.from })).toMatchObject({
      status: 422,
      body: { code: 'audit.badWindow' },
    })
  })
})

describe('GET /v1/audit/stats', () => {
  const stats = async (query: Record<string, string>) =>
    (await get('/v1/audit/stats', { ...window, ...query })).body as AuditStats

  test('days of a time zone, those without any event too', async () => {
    const { starts, series, total, groups } = await stats({ interval: 'day', timeZone: 'Asia/Tokyo' })
    expect(starts).toEqual([9, 10, 11, 12, 13].map((day) => `2026-01-${String(day).padStart(2, '0')}T15:00:00.000Z`))
    const expected = starts.map(
      (start) =>
        those(({ occurredAt }) => {
          const at = Date.parse(occurredAt) - Date.parse(start)
          return at >= 0 && at < 86_400_000
        }).length,
    )
    expect(series).toEqual(expected)
    expect(series[0]).toBe(0)
    expect(total).toBe(90)
    expect(groups).toEqual([])
  })

  test('the largest groups, the rest apart', async () => {
    const { groups, other, total } = await stats({ groupBy: 'action', top: '2', interval: 'day' })
    expect(groups.map(({ value, count }) => [value, count])).toEqual([
      ['member.banned', 30],
      ['member.kicked', 30],
    ])
    expect(other.count).toBe(30)
    expect(total).toBe(90)
    for (const { count, series } of [...groups, other]) expect(series.reduce((a, b) => a + b)).toBe(count)
  })

  test('without an interval totals alone, without anything one number', async () => {
    expect(await stats({ groupBy: 'targetId', top: '1' })).toMatchObject({
      starts: [],
      groups: [{ value: target, count: 45 }],
      other: { count: 45, series: [] },
    })
    expect(await stats({})).toMatchObject({ total: 90, groups: [], series: [] })
  })

  test('too many intervals, and time zones that there are not, are refused', async () => {
    expect(await get('/v1/audit/stats', { from: '2020-01-01T00:00:00Z', interval: 'hour' })).toMatchObject({
      status: 422,
      body: { code: 'audit.tooManyIntervals' },
    })
    for (const timeZone of ['Mars/Base', '+01:00', "UTC' OR 1"]) {
      expect(await get('/v1/audit/stats', { timeZone })).toMatchObject({
        status: 422,
        body: { code: 'audit.badTimeZone' },
      })
    }
  })
})

describe('POST /v1/audit/query', () => {
  const ask = (sql: string, caller: Caller = administrator, more: object = {}) =>
    system.call('POST', '/v1/audit/query', caller, { sql, ...more })

  test('answers an administrator, and is recorded with its text', async () => {
    const sql = `SELECT action, count() AS n FROM audit_events WHERE target_id = '${target}' GROUP BY action ORDER BY action`
    const { status, body } = await ask(sql)
    expect(status).toBe(200)
    expect(body as AuditSqlResult).toMatchObject({
      columns: [{ name: 'action' }, { name: 'n', type: 'UInt64' }],
      rows: [
        ['member.banned', 15],
        ['member.kicked', 15],
        ['role.created', 15],
      ],
      truncated: false,
    })
    const [recorded] = await system.trail('audit.sqlRun')
    expect(recorded).toMatchObject({ actor: { id: administrator!.userId }, data: { sql }, severity: 'notice' })
    expect((recorded!.data as { sha256: string }).sha256).toMatch(/^[0-9a-f]{64}$/)
  })

  test('is cut at its limit, and says so', async () => {
    const { body } = await ask('SELECT id FROM audit_events', administrator, { limit: 3 })
    expect(body).toMatchObject({ truncated: true })
    expect((body as AuditSqlResult).rows).toHaveLength(3)
  })

  test('who may read the trail may not ask in SQL', async () => {
    expect(await ask('SELECT 1', auditor)).toMatchObject({ status: 403 })
    expect(await ask('SELECT 1', member)).toMatchObject({ status: 403 })
    expect(await system.call('POST', '/v1/audit/query', undefined, { sql: 'SELECT 1' })).toMatchObject({ status: 401 })
  })

  test('what reaches for more is refused, and recorded', async () => {
    const sql = "SELECT * FROM file('/etc/passwd', 'LineAsString')"
    expect(await ask(sql)).toMatchObject({ status: 422, body: { code: 'audit.sqlRefused' } })
    expect((await system.trail('audit.sqlRefused'))[0]).toMatchObject({ outcome: 'refused', data: { sql } })
  })

  test('what reads of the trail is recorded also where it fails, in the place of a value too', async () => {
    const sqls = ['toUInt8(max(action))', '(SELECT toUInt8(max(action)) FROM audit_events)'].map(
      (value) => `SELECT ${value} FROM audit_events`,
    )
    for (const sql of sqls) {
      const { status, body } = await ask(sql)
      expect({ status, body }).toMatchObject({ status: 422, body: { code: 'audit.sqlInvalid' } })
      expect(JSON.stringify(body)).toContain(' as UInt8')
      await eventually(async () => (await system.trail('audit.sqlRun')).some(({ data }) => data.sql === sql))
    }
  })

  test('one that the engine cannot end keeps its place until it has, and is not waited for', async () => {
    const times = (count: number, inner: string) => `SELECT concat(${Array(count).fill('x')}) AS x FROM (${inner})`
    const text = times(30, times(100, times(10, `SELECT '${'a'.repeat(100)}' AS x`)))
    const refused = async (letters: number) => {
      // At each of three million places so many letters are compared: within a call nothing interrupts it.
      const sql = `SELECT position(x, concat(substring(x, 1, ${letters}), 'b')) FROM (${text})`
      const began = performance.now()
      expect(await ask(sql)).toMatchObject({ status: 422, body: { code: 'audit.sqlExpensive' } })
      expect(performance.now() - began).toBeLessThan(20_000)
      return (await ask('SELECT 1')).status === 429
    }
    // A machine that is fast enough is done with it before it would be given up.
    let letters = 120_000
    while (!(await refused(letters))) {
      letters *= 2
      expect(letters).toBeLessThan(1_000_000)
    }
    expect(await ask('SELECT 1', await system.member('administrator'))).toMatchObject({ status: 200 })
    await eventually(async () => (await ask('SELECT 1')).status === 200, 240_000)
  }, 300_000)

  test('mistakes are told without a word of the server', async () => {
    for (const [sql, code] of [
      ['SELEC 1', 'audit.sqlInvalid'],
      ['SELECT nothing FROM audit_events', 'audit.sqlInvalid'],
      [
        'SELECT count() FROM audit_events AS a, audit_events AS b, audit_events AS c, audit_events AS d, audit_events AS e, audit_events AS f WHERE cityHash64(a.id, b.id, c.id, d.id, e.id, f.id) = 1',
        'audit.sqlExpensive',
      ],
    ] as const) {
      const { status, body } = await ask(sql)
      expect({ sql, status, body }).toMatchObject({ status: 422, body: { code } })
      expect(JSON.stringify(body)).not.toMatch(/DB::|clickhouse|t_[0-9a-f]{32}|default/i)
    }
    for (const body of [
      {},
      { sql: '' },
      { sql: 'x'.repeat(10_001) },
      { sql: 'SELECT 1', limit: 0 },
      { sql: 'SELECT 1', x: 1 },
    ]) {
      expect(await system.call('POST', '/v1/audit/query', administrator, body)).toMatchObject({ status: 422 })
    }
  })

  test('one at a time for each person', async () => {
    const slow =
      'SELECT count() FROM audit_events AS a, audit_events AS b, audit_events AS c, audit_events AS d WHERE cityHash64(a.id, b.id, c.id, d.id) = 1'
    const answers = await Promise.all([ask(slow), ask(slow), ask(slow)])
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(2)
    expect(answers.find(({ status }) => status === 429)!.headers.get('retry-after')).toBe('1')
    expect(await ask('SELECT 1')).toMatchObject({ status: 200 })
  })
})

const fetchRaw = (path: string, caller: Caller = auditor, init: RequestInit = {}) =>
  system.service.app.handle(
    new Request(`http://localhost${path}`, {
      ...init,
      headers: { authorization: `Bearer ${caller!.token}`, ...init.headers },
    }),
  )

describe('GET /v1/audit/export', () => {
  const take = (query: Record<string, string>) =>
    fetchRaw(`/v1/audit/export?${new URLSearchParams({ ...window, ...query })}`)

  test('NDJSON has every event as the API has it, oldest first', async () => {
    const response = await take({ format: 'ndjson' })
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    expect(response.headers.get('x-expected-rows')).toBe('90')
    const lines = (await response.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(events)
  })

  test('goes on behind an event that one has', async () => {
    const response = await take({ format: 'ndjson', afterId: events[79]!.id, action: 'member.*' })
    const lines = (await response.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      events.slice(80).filter(({ action }) => action.startsWith('member.')),
    )
    expect((await take({ format: 'csv', afterId: newId() })).status).toBe(404)
    expect((await take({ format: 'parquet', afterId: events[0]!.id })).status).toBe(422)
  })

  test('CSV has a head, and no cell that a spreadsheet would run', async () => {
    const text = await (await take({ format: 'csv' })).text()
    const [head, ...rows] = text.trimEnd().split(/\n(?="[0-9a-f]{8}-)/)
    expect(head).toBe(
      'id,occurredAt,service,action,severity,outcome,actorKind,actorId,sessionId,address,userAgent,targetKind,targetId,data,reason,requestId,traceId',
    )
    expect(rows).toHaveLength(90)
    expect(rows[5]).toContain(`"'${hostile.replaceAll('"', '""')}"`)
    expect(rows[7]).toContain(`"'@SUM(A1)"`)
    expect(text).not.toMatch(/(^|,)"?[=@+\-\t＝]/m)
    expect(rows[8]).toContain(`"'＝1+1"`)
    // What isn't there is an empty cell.
    expect(text).not.toContain('\\N')
    expect(rows[1]).toContain('"{}",,"r-1",')
    expect(rows[0]!.split(',').slice(0, 4)).toEqual([
      `"${events[0]!.id}"`,
      `"${events[0]!.occurredAt}"`,
      '"auth"',
      '"member.kicked"',
    ])
  })

  test('Parquet is one that the engine reads again', async () => {
    const response = await take({ format: 'parquet', action: 'member.*' })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.subarray(0, 4).toString()).toBe('PAR1')
    expect(bytes.subarray(-4).toString()).toBe('PAR1')
    const file = `${process.env.TMPDIR ?? '/tmp'}/conntext-${newId()}.parquet`
    await Bun.write(file, bytes)
    const rows = await system.audit.rows<{ id: string; at: string; data: string }>({
      sql: 'SELECT id, toUnixTimestamp64Milli(occurredAt) AS at, data FROM file({file:String}, Parquet) ORDER BY occurredAt',
      params: { file },
    })
    await Bun.file(file).delete()
    const expected = events.filter(({ action }) => action.startsWith('member.'))
    expect(rows.map(({ id, at }) => [id, Number(at)])).toEqual(
      expected.map(({ id, occurredAt }) => [id, Date.parse(occurredAt)]),
    )
    expect(rows.map(({ data }) => JSON.parse(data))).toEqual(expected.map(({ data }) => data))
  })

  test('is packed when asked, and named', async () => {
    const plain = await (await take({ format: 'ndjson' })).text()
    const zipped = await take({ format: 'ndjson', compression: 'gzip' })
    expect(zipped.headers.get('content-disposition')).toMatch(/filename="audit-\d{4}-\d\d-\d\d\.ndjson\.gz"/)
    expect(gunzipSync(await zipped.arrayBuffer()).toString()).toBe(plain)
    const packed = await take({ format: 'ndjson', compression: 'zstd' })
    expect(zstdDecompressSync(await packed.arrayBuffer()).toString()).toBe(plain)
  })

  test('is recorded, with the names of its filters alone', async () => {
    await (await take({ format: 'csv', reason: 'spam' })).text()
    const recorded = await eventually(async () =>
      (await system.trail('audit.exported')).find(({ data }) => (data.filters as string[]).includes('reason')),
    )
    expect(recorded.data).toMatchObject({ format: 'csv', expectedRows: 1 })
    expect(JSON.stringify(recorded)).not.toContain('spam')
  })

  test('who leaves makes room', async () => {
    for (let i = 0; i < 5; i += 1) {
      const response = await eventually(async () => {
        const answer = await take({ format: 'ndjson' })
        return answer.status === 200 ? answer : undefined
      })
      await response.body!.cancel()
    }
    await eventually(async () => {
      const open = await Promise.all([1, 2, 3].map(() => take({ format: 'ndjson' })))
      for (const response of open) await response.body?.cancel()
      const statuses = open.map(({ status }) => status).sort()
      return statuses[0] === 200 && statuses[1] === 200 && statuses[2] === 429
    })
  })
})

/** Reads server-sent events. */
function readTail(response: Response) {
  const reader = response.body!.pipeThrough(new TextDecoderStream() as never).getReader()
  const heard: { id: string | undefined; event: string | undefined; data: string | undefined }[] = []
  const state = { ended: false, failed: false }
  void (async () => {
    let text = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      text += value
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const field = (name: string) =>
          block
            .split('\n')
            .find((line) => line.startsWith(`${name}: `))
            ?.slice(name.length + 2)
        heard.push({ id: field('id'), event: field('event'), data: field('data') })
      }
    }
    state.ended = true
  })().catch(() => {
    state.failed = true
  })
  return {
    heard,
    state,
    ids: () => heard.filter(({ event }) => event === 'audit').map(({ data }) => (JSON.parse(data!) as AuditEvent).id),
    close: () => reader.cancel(),
  }
}

describe('GET /v1/audit/tail', () => {
  const follow = async (query: Record<string, string> = {}, caller: Caller = auditor, headers = {}) => {
    const response = await fetchRaw(`/v1/audit/tail?${new URLSearchParams(query)}`, caller, { headers })
    expect(response.status).toBe(200)
    const tail = readTail(response)
    await eventually(async () => tail.heard.length > 0)
    return tail
  }
  const marked = (action: string, count: number) => Array.from({ length: count }, () => make({ action }))

  test('tells of what is stored from now on and passes the filters, each once, in order, whichever instance stored it', async () => {
    const other = await system.another()
    const action = `tail.${newId().slice(-6)}`
    const tail = await follow({ action })
    const sent: AuditEvent[] = []
    for (const one of [system, other, system, other]) {
      const batch = marked(action, 3)
      await one.port.ingestAudit({ events: [...batch, make()] })
      await one.port.ingestAudit({ events: batch })
      sent.push(...batch)
    }
    await eventually(async () => tail.ids().length >= sent.length)
    expect(tail.ids()).toEqual(sent.map(({ id }) => id))
    expect(JSON.parse(tail.heard.find(({ event }) => event === 'audit')!.data!)).toEqual(sent[0])
    await tail.close()
    await other.service.stop()
  })

  test('resumes behind the last event that was read', async () => {
    const action = `tail.${newId().slice(-6)}`
    const first = await follow({ action })
    const [a, b] = [marked(action, 2), marked(action, 450)]
    await system.port.ingestAudit({ events: a })
    await eventually(async () => first.ids().length === 2)
    const lastId = first.heard.filter(({ event }) => event === 'audit').at(-1)!.id!
    await first.close()
    await system.port.ingestAudit({ events: b })
    const second = await follow({ action }, auditor, { 'last-event-id': lastId })
    await eventually(async () => second.ids().length >= 450)
    expect(second.ids()).toEqual(b.map(({ id }) => id))
    await second.close()
    for (const bad of ['x', '1', '1.2.3', "1.1' OR 1", '-1.0']) {
      const response = await fetchRaw('/v1/audit/tail', auditor, { headers: { 'last-event-id': bad } })
      expect(response.status).toBe(422)
    }
  })

  const REVOKED = { event: 'end', data: '{"reason":"revoked"}' }

  test('ends when the session ends', async () => {
    const one = await system.authority.member({ permissions: ['audit.view'] })
    const tail = await follow({}, one)
    await system.authority.revoke(one.sessionId, one.userId)
    await eventually(async () => tail.state.ended)
    expect(tail.heard.at(-1)).toMatchObject(REVOKED)
  })

  test('ends when the role is taken, when the role loses the permission, and nothing comes after', async () => {
    const { authority } = system
    const [one, other] = [await authority.member({ permissions: ['audit.view'] }), await system.member('audit.view')]
    const tails = { one: await follow({}, one), other: await follow({}, other!) }
    await authority.setGrant(one.userId, { roleIds: [] })
    await eventually(async () => tails.one.state.ended)
    expect(tails.other.state.ended).toBe(false)
    const role = authority.snapshot.roles.find(({ name }) => name === `role of ${other!.userId}`)!
    role.permissions = []
    await authority.changed()
    await eventually(async () => tails.other.state.ended)
    const late = make()
    await system.port.ingestAudit({ events: [late] })
    for (const tail of Object.values(tails)) {
      expect(tail.heard.at(-1)).toMatchObject(REVOKED)
      expect(tail.ids()).not.toContain(late.id)
    }
  })

  test('an API token follows within its scopes, and no longer than it is there', async () => {
    const { userId } = await system.authority.member({ permissions: ['audit.view'] })
    const wrong = system.authority.apiToken(userId, ['channel.view'])
    expect((await fetchRaw('/v1/audit/tail', { ...wrong, userId })).status).toBe(403)
    const right = system.authority.apiToken(userId, ['audit.view'])
    const tail = await follow({}, { ...right, userId })
    await system.authority.revoke(right.tokenId, userId)
    await eventually(async () => tail.state.ended)
    expect(tail.heard.at(-1)).toMatchObject(REVOKED)
  })

  describe('over time', () => {
    /** Follows with times that a test can wait for. */
    async function timed(times: Partial<TailTimes>) {
      const { userId, sessionId } = await system.authority.member({ permissions: ['audit.view'] })
      const where = { address: null, userAgent: null, reason: null, requestId: 'r' }
      const caller = { ...where, kind: 'user', userId, sessionId, scopes: null } as unknown as CallerOf
      const tails = new Tails({ ...system.deps, clock: system.clock, recorder: {} as never, nudge: () => {} }, times)
      await tails.notices.start()
      const response = await tails.follow(caller, { action: 'tail.timed' }, null, new AbortController().signal)
      return { tails, response }
    }

    test('a sign of life tells the place as well; and what follows is asked to come back', async () => {
      const { tails, response } = await timed({ heartbeatMs: 20, longestMs: 400 })
      const tail = readTail(response)
      await system.port.ingestAudit({ events: [make()] })
      await eventually(async () => tail.state.ended)
      const signs = tail.heard.filter(({ event }) => event === undefined)
      expect(signs.length).toBeGreaterThan(2)
      expect(Number(signs.at(-1)!.id!.split('.')[0])).toBeGreaterThan(Number(signs[0]!.id!.split('.')[0]))
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"renew"}' })
      await tails.stop()
    })

    test('whoever leaves unread what is there is cut off, and makes room', async () => {
      const { tails, response } = await timed({ patienceMs: 50, heartbeatMs: 20 })
      const reader = response.body!.getReader()
      await reader.read()
      await expect(reader.closed).rejects.toThrow('the reader was too slow')
      await tails.stop()
    })

    test('a service that is to stop lets go of who follows, before it waits for requests that are under way', async () => {
      const other = await system.another()
      const response = await other.service.app.handle(
        new Request('http://localhost/v1/audit/tail', { headers: { authorization: `Bearer ${auditor!.token}` } }),
      )
      const tail = readTail(response)
      await eventually(async () => tail.heard.length > 0)
      other.service.drain?.()
      await eventually(async () => tail.state.ended)
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"stopping"}' })
      await other.service.stop()
    })

    test('a server that stops says so', async () => {
      const { tails, response } = await timed({})
      const tail = readTail(response)
      await eventually(async () => tail.heard.length > 0)
      await tails.stop()
      await eventually(async () => tail.state.ended)
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"stopping"}' })
    })
  })

  test('each has a few, everybody together a bounded number', async () => {
    const one = await system.member('audit.view')
    const tails = await Promise.all([1, 2, 3, 4, 5].map(() => follow({}, one)))
    expect((await fetchRaw('/v1/audit/tail', one)).status).toBe(429)
    await tails[0]!.close()
    const again = await follow({}, one)
    for (const tail of [...tails.slice(1), again]) await tail.close()
  })

  test('is recorded', async () => {
    const one = await system.member('audit.view')
    const tail = await follow({ action: 'x.*' }, one)
    const recorded = await eventually(async () =>
      (await system.trail('audit.followed')).find(({ actor }) => actor.id === one!.userId),
    )
    expect(recorded.data).toEqual({ filters: ['action'] })
    await tail.close()
  })
})

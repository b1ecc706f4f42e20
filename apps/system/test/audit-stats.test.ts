import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { AuditEvent, AuditFacets, AuditStats } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { getFacets, getStats } from '../src/audit/stats/service.ts'
import type { Recorder } from '../src/recorder.ts'
import { type Analytics, actors, startAnalytics, target, window } from './support/analytics.ts'

let it: Analytics
beforeAll(async () => {
  it = await startAnalytics()
})
afterAll(() => it.system[Symbol.asyncDispose]())

const found = async (query: Record<string, string>) =>
  ((await it.get('/v1/audit/events', { ...window, limit: '100', ...query })).body as { items: AuditEvent[] }).items
    .map((event) => it.events.findIndex(({ id }) => id === event.id))
    .sort((a, b) => a - b)
const those = (wanted: (event: AuditEvent, i: number) => boolean) =>
  it.events.flatMap((event, i) => (wanted(event, i) ? [i] : []))

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
        expect({ query, path, ...(await it.get(path, { ...query, ...more })) }).toMatchObject({ status: 422 })
      }
    }
  })
})

const READS = ['/v1/audit/facets', '/v1/audit/stats', '/v1/audit/export?format=csv', '/v1/audit/tail']

test.each(READS)('%s is for those alone who may read the trail', async (path) => {
  expect(await it.system.call('GET', path)).toMatchObject({ status: 401 })
  expect(await it.system.call('GET', path, it.member)).toMatchObject({ status: 403 })
})

describe('GET /v1/audit/facets', () => {
  test('counts what passes the filters', async () => {
    const { body } = await it.get('/v1/audit/facets', { ...window, action: 'member.*' })
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
    const audit = { ...it.system.audit, rows: <T>() => it.system.audit.rows<T>({ sql: endless, params: {} }) }
    const deps = { audit, clock: it.system.clock, recorder: { queried: async () => {} } as unknown as Recorder }
    const asked = [getFacets(deps, {} as never, {}), getStats(deps, {} as never, { groupBy: 'address' })]
    for (const one of await Promise.allSettled(asked)) {
      expect((one as PromiseRejectedResult).reason).toMatchObject({ code: 'audit.tooMuchToCount', status: 422 })
    }
  })

  test('has a window', async () => {
    expect(await it.get('/v1/audit/facets', { from: window.to, to: window.from })).toMatchObject({
      status: 422,
      body: { code: 'audit.badWindow' },
    })
  })
})

describe('GET /v1/audit/stats', () => {
  const stats = async (query: Record<string, string>) =>
    (await it.get('/v1/audit/stats', { ...window, ...query })).body as AuditStats

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
    expect(await it.get('/v1/audit/stats', { from: '2020-01-01T00:00:00Z', interval: 'hour' })).toMatchObject({
      status: 422,
      body: { code: 'audit.tooManyIntervals' },
    })
    for (const timeZone of ['Mars/Base', '+01:00', "UTC' OR 1"]) {
      expect(await it.get('/v1/audit/stats', { timeZone })).toMatchObject({
        status: 422,
        body: { code: 'audit.badTimeZone' },
      })
    }
  })
})

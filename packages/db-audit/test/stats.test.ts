import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createClient } from '@clickhouse/client'
import { newId } from '@conntext/kernel'
import {
  type Audit,
  countEvents,
  intervalStarts,
  migrateAudit,
  openAudit,
  type SeriesQuery,
  selectFacets,
  selectSeries,
  selectTop,
} from '../src/index.ts'
import { newDatabase, startEngine } from './support/engine.ts'

let engine: Awaited<ReturnType<typeof startEngine>>
let audit: Audit
let command: (query: string) => Promise<unknown>
let explain: (query: string) => Promise<string>
const ACTORS = Array.from({ length: 5 }, () => newId())
const FROM = new Date('2026-03-20T05:07:11.123Z')
const TO = new Date('2026-04-11T17:52:33.900Z')
const ROWS = 31_000

beforeAll(async () => {
  engine = await startEngine()
  const connection = newDatabase(engine.server)
  await migrateAudit(connection)
  audit = openAudit(connection)
  const client = createClient({ ...engine.server, database: connection.database })
  command = (query) => client.command({ query, clickhouse_settings: { mutations_sync: '2' } })
  explain = async (query) => (await client.query({ query: `EXPLAIN ${query}`, format: 'TabSeparated' })).text()
  // A row every 79.123 s, so that none falls on the beginning of a quarter by accident; and some that do.
  const time = (number: string) => `fromUnixTimestamp64Milli(${Date.parse('2026-03-15T00:00:00Z')} + ${number})`
  const insert = (times: string, rows: number) => `INSERT INTO events
    (id, occurred_at, received_at, service, action, severity, outcome, actor_kind, actor_id, target_kind, target_id, data)
    SELECT generateUUIDv4(), ${times}, now64(3), ['auth', 'system'][number % 2 + 1],
      ['member.kicked', 'member.banned', 'role.created', 'login.failed'][number % 4 + 1],
      ['info', 'notice', 'warning'][number % 3 + 1], ['done', 'failed'][number % 2 + 1], 'user',
      [${ACTORS.map((id) => `toUUID('${id}')`)}][number % 5 + 1], 'user', toString(number % 7), '{}' FROM numbers(${rows})`
  await command(insert(time('number * 79123'), ROWS))
  await command(insert(time('number * 900000'), 1000))
})
afterAll(async () => {
  await audit.close()
  await engine.stop()
})

const WINDOWS = {
  uneven: { from: FROM, to: TO },
  'within a quarter': { from: new Date('2026-03-20T05:07:11.123Z'), to: new Date('2026-03-20T05:09:00Z') },
  'on quarters': { from: new Date('2026-03-20T05:15:00Z'), to: new Date('2026-03-29T05:15:00Z') },
  'from one quarter to the next': { from: new Date('2026-03-20T05:14:59.999Z'), to: new Date('2026-03-20T05:15:00Z') },
  'on weeks': { from: new Date('2026-03-23T00:00:00Z'), to: new Date('2026-04-05T23:59:59.999Z') },
  'within a week': { from: new Date('2026-03-23T00:00:00.001Z'), to: new Date('2026-03-29T23:59:59.999Z') },
  'days and years': { from: new Date(0), to: new Date('2100-01-01T00:00:00Z') },
}
const FILTERS = {
  none: {},
  actions: { actions: ['member.kicked', 'role.created'] },
  prefix: { actionPrefixes: ['member.'] },
  both: { actions: ['login.failed'], actionPrefixes: ['member.'] },
  severities: { severities: ['notice', 'warning'], outcome: 'done' },
  actor: { actorId: ACTORS[2]! },
  'actor and action': { actorId: ACTORS[2]!, actionPrefixes: ['member.'], outcome: 'done' },
  target: { targetId: '3' },
}
const cases = Object.entries(WINDOWS).flatMap(([window, bounds]) =>
  Object.entries(FILTERS).map(([filter, value]) => ({ window, filter, bounds, value })),
)

/** The same, read from the events one by one. */
async function plainly(bounds: { from: Date; to: Date }, filter: Record<string, unknown>) {
  const rows = await audit.rows<{ t: number; action: string; severity: string; outcome: string; a: string; g: string }>(
    {
      sql: `SELECT toUnixTimestamp64Milli(occurred_at) AS t, action, severity, outcome, toString(actor_id) AS a, target_id AS g
      FROM events SETTINGS optimize_use_projections = 0`,
      params: {},
    },
  )
  const {
    actions = [],
    actionPrefixes = [],
    severities,
    outcome,
    actorId,
    targetId,
  } = filter as {
    actions?: string[]
    actionPrefixes?: string[]
    severities?: string[]
    outcome?: string
    actorId?: string
    targetId?: string
  }
  const anyAction = actions.length + actionPrefixes.length === 0
  return rows.filter(
    (row) =>
      Number(row.t) >= bounds.from.getTime() &&
      Number(row.t) <= bounds.to.getTime() &&
      (anyAction || actions.includes(row.action) || actionPrefixes.some((prefix) => row.action.startsWith(prefix))) &&
      (severities?.includes(row.severity) ?? true) &&
      (outcome === undefined || row.outcome === outcome) &&
      (actorId === undefined || row.a === actorId) &&
      (targetId === undefined || row.g === targetId),
  )
}
const tallied = (values: string[]) => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([value, count]) => ({ value, count }))
}

describe('counts', () => {
  test.each(cases)('are exact: $window, $filter', async ({ bounds, value }) => {
    const expected = await plainly(bounds, value)
    expect(await countEvents(audit, bounds, value)).toBe(expected.length)
    const { total, facets } = await selectFacets(audit, { window: bounds, filter: value, most: 50 })
    expect(total).toBe(expected.length)
    expect(facets.action).toEqual(tallied(expected.map((row) => row.action)))
    expect(facets.severity).toEqual(tallied(expected.map((row) => row.severity)))
    expect(await selectTop(audit, { window: bounds, filter: value, by: 'actorId', most: 3 })).toEqual(
      tallied(expected.map((row) => row.a)).slice(0, 3),
    )
  })

  test('of a wide window come from the rollups, not from the events', async () => {
    const plan = await explain(`SELECT action, count() FROM ${'events'} WHERE
      toStartOfFifteenMinutes(occurred_at) >= toDateTime('2026-03-20 00:00:00', 'UTC') AND action IN ('member.kicked')
      GROUP BY action`)
    expect(plan).toContain('events_by_quarter_hour')
    const weeks = await explain(`SELECT actor_id, count() FROM events
      WHERE toMonday(occurred_at) >= toDate('2026-03-23') AND startsWith(action, 'member.') GROUP BY actor_id`)
    expect(weeks).toContain('events_by_actor_week')
  })

  test('stay right when an insert is repeated, and when rows are erased or cut', async () => {
    const rows = [1, 2, 3].map((n) => ({
      id: newId(),
      occurred_at: `2027-01-01T0${n}:00:00.000Z`,
      received_at: '2027-01-01T00:00:00.000Z',
      service: 'auth',
      action: `repeated.${n}`,
      data: '{}',
    }))
    const window = { from: new Date('2027-01-01T00:00:00Z'), to: new Date('2027-01-02T00:00:00Z') }
    const counted = async () =>
      (await selectFacets(audit, { window, filter: {}, most: 10 })).facets.action.map(({ value, count }) => [
        value,
        count,
      ])
    for (let i = 0; i < 3; i += 1) await audit.insert('events', rows, 'the same token')
    expect(await counted()).toEqual([1, 2, 3].map((n) => [`repeated.${n}`, 1]))
    await command("DELETE FROM events WHERE action = 'repeated.2'")
    expect(await counted()).toEqual([1, 3].map((n) => [`repeated.${n}`, 1]))
    await command("ALTER TABLE events DELETE WHERE action = 'repeated.3'")
    expect(await counted()).toEqual([['repeated.1', 1]])
    await command('OPTIMIZE TABLE events FINAL')
    expect(await counted()).toEqual([['repeated.1', 1]])
  })
})

describe('series', () => {
  const series = (query: Partial<SeriesQuery>) =>
    selectSeries(audit, {
      window: WINDOWS.uneven,
      filter: {},
      by: undefined,
      interval: 'day',
      timeZone: 'UTC',
      most: 10,
      ...query,
    })

  test.each(['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Chatham', 'Australia/Lord_Howe'])(
    'days are those of %s, also on the day on which clocks change',
    async (timeZone) => {
      const dayOf = (ms: number) =>
        new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' }).format(new Date(ms))
      const expected = tallied((await plainly(WINDOWS.uneven, {})).map((row) => dayOf(Number(row.t))))
      const days = Array.from({ length: 23 * 24 }, (_, hour) =>
        dayOf(Math.min(FROM.getTime() + hour * 3_600_000, TO.getTime())),
      )
      const points = await series({ timeZone })
      const found = points.map(({ start, count }) => ({ value: dayOf(start * 1000), count }))
      expect(tallied(found.flatMap(({ value, count }) => Array<string>(count).fill(value)))).toEqual(expected)
      const starts = await intervalStarts(audit, WINDOWS.uneven, 'day', timeZone)
      expect(starts.map((start) => dayOf(start * 1000))).toEqual([...new Set(days)])
      expect(points.map((point) => point.start).sort()).toEqual(starts)
      const clock = new Intl.DateTimeFormat('sv-SE', { timeZone, timeStyle: 'short' })
      expect(starts.map((start) => clock.format(new Date(start * 1000)))).toEqual(starts.map(() => '00:00'))
    },
  )

  test.each(['quarterHour', 'hour', 'week', 'month'] as const)('by %s, gaps and all', async (interval) => {
    const window =
      interval === 'quarterHour' || interval === 'hour' ? { from: FROM, to: new Date('2026-03-23') } : WINDOWS.uneven
    const starts = await intervalStarts(audit, window, interval, 'Europe/Berlin')
    const points = await series({ window, interval, timeZone: 'Europe/Berlin' })
    expect(points.every((point) => starts.includes(point.start))).toBe(true)
    expect(points.reduce((sum, point) => sum + point.count, 0)).toBe((await plainly(window, {})).length)
    const expected = { quarterHour: 269, hour: 68, week: 4, month: 2 }[interval]
    expect(starts).toHaveLength(expected)
    expect(new Set(starts).size).toBe(expected)
  })

  test('what is in none of the largest groups is added up apart', async () => {
    const expected = tallied((await plainly(WINDOWS.uneven, {})).map((row) => row.g))
    for (const interval of ['day', undefined] as const) {
      const points = await series({ by: 'targetId', most: 2, interval })
      const sum = (wanted: (value: string | null, isTop: boolean) => boolean) =>
        points.filter((point) => wanted(point.value, point.isTop)).reduce((all, { count }) => all + count, 0)
      for (const { value, count } of expected.slice(0, 2)) expect(sum((name) => name === value)).toBe(count)
      expect(sum((_, isTop) => !isTop)).toBe(expected.slice(2).reduce((all, { count }) => all + count, 0))
    }
  })
})

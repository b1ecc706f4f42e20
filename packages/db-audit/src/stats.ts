import type { Audit, Query } from './client.ts'
import { conditionsOf, type EventFilter, type TimeWindow } from './filter.ts'

/** A rollup: its steps in time, counted from one that begins at `firstMs`, and what else it can be asked by. */
type Rollup = {
  start: string
  stepMs: number
  firstMs: number
  /** A moment as `start` is compared with it. */
  moment(time: string): string
  columns: Set<string>
  filters: Set<string>
}

const QUARTER_HOUR_MS = 900_000
const DAY_MS = 86_400_000

const KINDS = {
  columns: ['service', 'action', 'severity', 'outcome', 'actor_kind', 'target_kind'],
  filters: 'action actions actionPrefixes service outcome severity severities actorKind targetKind'.split(' '),
}
const byQuarterHour: Rollup = {
  start: 'toStartOfFifteenMinutes(occurred_at)',
  stepMs: QUARTER_HOUR_MS,
  firstMs: 0,
  moment: (time) => `toDateTime(${time}, 'UTC')`,
  columns: new Set(KINDS.columns),
  filters: new Set(KINDS.filters),
}
const byActorWeek: Rollup = {
  start: 'toMonday(occurred_at)',
  stepMs: 7 * DAY_MS,
  firstMs: Date.UTC(1970, 0, 5),
  moment: (time) => `toDate(${time}, 'UTC')`,
  columns: new Set([...KINDS.columns, 'actor_id']),
  filters: new Set([...KINDS.filters, 'actorId']),
}

/** Columns that events are counted by, under the names that the API has for them. */
export const GROUPS = {
  action: 'action',
  service: 'service',
  severity: 'severity',
  outcome: 'outcome',
  actorKind: 'actor_kind',
  targetKind: 'target_kind',
  actorId: 'actor_id',
  targetId: 'target_id',
  sessionId: 'session_id',
  address: 'address',
} as const
export type Group = keyof typeof GROUPS

// The least that each is long, where clocks change. Weeks begin on Mondays.
const INTERVALS = {
  quarterHour: {
    leastMs: QUARTER_HOUR_MS,
    start: (time: string) => `toStartOfFifteenMinutes(${time}, {timeZone:String})`,
  },
  hour: { leastMs: 3_600_000, start: (time: string) => `toStartOfHour(${time}, {timeZone:String})` },
  day: { leastMs: 23 * 3_600_000, start: (time: string) => `toStartOfDay(${time}, {timeZone:String})` },
  week: {
    leastMs: 7 * DAY_MS - 3_600_000,
    start: (time: string) => `toDateTime(toStartOfWeek(${time}, 1, {timeZone:String}), {timeZone:String})`,
  },
  month: {
    leastMs: 28 * DAY_MS - 3_600_000,
    start: (time: string) => `toDateTime(toStartOfMonth(${time}, {timeZone:String}), {timeZone:String})`,
  },
} as const
export type Interval = keyof typeof INTERVALS

/** How many intervals a window has at most. */
export const intervalsIn = ({ from, to }: TimeWindow, interval: Interval): number =>
  Math.ceil((to.getTime() - from.getTime()) / INTERVALS[interval].leastMs) + 1

/**
 * `columns` and `quarter`, with the number of `events`, for the window and the filter: from a rollup as far as its steps
 * lie within the window, from the events themselves at both ends, and wholly where the rollup doesn't know a column or a
 * filter.
 */
function counted(window: TimeWindow, filter: EventFilter, columns: string[], wantsTime: boolean): Query {
  const { conditions, params } = conditionsOf(filter)
  const knows = (rollup: Rollup) =>
    columns.every((column) => rollup.columns.has(column)) &&
    Object.keys(filter).every((key) => filter[key as keyof EventFilter] === undefined || rollup.filters.has(key))
  const rollup = knows(byQuarterHour) ? byQuarterHour : !wantsTime && knows(byActorWeek) ? byActorWeek : undefined
  const [from, end] = [window.from.getTime(), window.to.getTime() + 1]
  const { stepMs, firstMs } = rollup ?? { stepMs: 1, firstMs: 0 }
  const onStep = (moment: number, round: (steps: number) => number) =>
    round((moment - firstMs) / stepMs) * stepMs + firstMs
  const middle = { from: Math.max(firstMs, onStep(from, Math.ceil)), end: onStep(end, Math.floor) }
  const hasMiddle = rollup !== undefined && middle.from < middle.end
  const list = [...(wantsTime ? ['toStartOfFifteenMinutes(occurred_at) AS quarter'] : []), ...columns]
  const groups = [...(wantsTime ? ['quarter'] : []), ...columns]
  const piece = (bounds: string[]): string => {
    const by = groups.length > 0 ? ` GROUP BY ${groups.join(', ')}` : ''
    return `SELECT ${[...list, 'count() AS events'].join(', ')} FROM events WHERE ${[...bounds, ...conditions].join(' AND ')}${by}`
  }
  const time = (name: string) => `fromUnixTimestamp64Milli({${name}:Int64})`
  const between = (a: string, b: string) => [`occurred_at >= ${time(a)}`, `occurred_at < ${time(b)}`]
  const all = { ...params, from, end, middleFrom: middle.from, middleEnd: middle.end }
  if (!hasMiddle) return { sql: piece(between('from', 'end')), params: all }
  const pieces = [
    piece(between('from', 'middleFrom')),
    piece([
      `${rollup.start} >= ${rollup.moment(time('middleFrom'))}`,
      `${rollup.start} < ${rollup.moment(time('middleEnd'))}`,
    ]),
    piece(between('middleEnd', 'end')),
  ]
  return { sql: pieces.join(' UNION ALL '), params: all }
}

/** How many events there are. */
export async function countEvents(audit: Audit, window: TimeWindow, filter: EventFilter): Promise<number> {
  const { sql, params } = counted(window, filter, [], false)
  const [row] = await audit.rows<{ n: string }>({ sql: `SELECT toString(sum(events)) AS n FROM (${sql})`, params })
  return Number(row?.n ?? 0)
}

const FACETS = ['action', 'service', 'severity', 'outcome', 'actorKind', 'targetKind'] as const
export type Facet = (typeof FACETS)[number]
export type Counted = { value: string | null; count: number }

const MOST_COMBINATIONS = 100_000

/** The events of a window and a filter by their facets, the most frequent first, `most` of each. */
export async function selectFacets(
  audit: Audit,
  { window, filter, most }: { window: TimeWindow; filter: EventFilter; most: number },
): Promise<{ total: number; facets: Record<Facet, Counted[]> }> {
  const columns = FACETS.map((facet) => GROUPS[facet])
  const { sql, params } = counted(window, filter, columns, false)
  const rows = await audit.rows<Record<string, string>>({
    sql: `SELECT ${columns.join(', ')}, toString(sum(events)) AS n FROM (${sql}) GROUP BY ${columns.join(', ')} LIMIT ${MOST_COMBINATIONS}`,
    params,
  })
  const tally = (column: string): Counted[] => {
    const counts = new Map<string, number>()
    for (const row of rows) counts.set(row[column]!, (counts.get(row[column]!) ?? 0) + Number(row.n))
    const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, most)
    return sorted.map(([value, count]) => ({ value, count }))
  }
  return {
    total: rows.reduce((sum, row) => sum + Number(row.n), 0),
    facets: Object.fromEntries(FACETS.map((facet) => [facet, tally(GROUPS[facet])])) as Record<Facet, Counted[]>,
  }
}

/** The groups with the most events. */
export async function selectTop(
  audit: Audit,
  { window, filter, by, most }: { window: TimeWindow; filter: EventFilter; by: Group; most: number },
): Promise<Counted[]> {
  const column = GROUPS[by]
  const { sql, params } = counted(window, filter, [column], false)
  const rows = await audit.rows<{ value: string | null; n: string }>({
    sql: `SELECT toString(${column}) AS value, toString(sum(events)) AS n FROM (${sql}) GROUP BY ${column}
      ORDER BY sum(events) DESC, value LIMIT {most:UInt32}`,
    params: { ...params, most },
  })
  return rows.map(({ value, n }) => ({ value, count: Number(n) }))
}

/** A number of events of an interval that begins at `start` (seconds): of one of the largest groups, or of all others. */
export type Point = { start: number; isTop: boolean; value: string | null; count: number }

export type SeriesQuery = {
  window: TimeWindow
  filter: EventFilter
  by: Group | undefined
  interval: Interval | undefined
  timeZone: string
  /** How many groups are told apart. */
  most: number
}

/** Events by interval and group, as far as there are any. */
export async function selectSeries(audit: Audit, query: SeriesQuery): Promise<Point[]> {
  const { window, filter, by, interval, timeZone, most } = query
  const column = by && GROUPS[by]
  const { sql, params } = counted(window, filter, column ? [column] : [], interval !== undefined)
  const start = interval ? `toUnixTimestamp(${INTERVALS[interval].start('quarter')})` : '0'
  const value = column ? `ifNull(toString(${column}), '')` : "''"
  const inTop = column
    ? 'value IN (SELECT value FROM named GROUP BY value ORDER BY sum(events) DESC, value LIMIT {most:UInt32})'
    : '0'
  const rows = await audit.rows<{ start: number; top: number; name: string; n: string }>({
    sql: `WITH counted AS (${sql}), named AS (SELECT ${start} AS start, ${value} AS value, events FROM counted)
      SELECT start, ${inTop} AS top, if(top, value, '') AS name, toString(sum(events)) AS n
      FROM named GROUP BY start, top, name`,
    params: { ...params, timeZone, most },
  })
  return rows.map(({ start: at, top, name, n }) => ({
    start: at,
    isTop: top === 1,
    value: name === '' ? null : name,
    count: Number(n),
  }))
}

/** Where the intervals of a window begin, in seconds, in order: also those without any event. */
export async function intervalStarts(
  audit: Audit,
  { from, to }: TimeWindow,
  interval: Interval,
  timeZone: string,
): Promise<number[]> {
  const stepMs = INTERVALS[interval].leastMs / 2
  const steps = Math.ceil((to.getTime() - from.getTime()) / stepMs)
  const at = 'fromUnixTimestamp64Milli(least({from:Int64} + toInt64(number * {step:Float64}), {to:Int64}))'
  const rows = await audit.rows<{ start: number }>({
    sql: `SELECT DISTINCT toUnixTimestamp(${INTERVALS[interval].start(at)}) AS start FROM numbers({steps:UInt32}) ORDER BY start`,
    params: { from: from.getTime(), to: to.getTime(), step: stepMs, steps: steps + 1, timeZone },
  })
  return rows.map((row) => row.start)
}

import type { AuditFacets, AuditFacetsQuery, AuditStats, AuditStatsQuery } from '@conntext/contracts'
import {
  countEvents,
  failureOf,
  intervalStarts,
  intervalsIn,
  type Point,
  selectFacets,
  selectSeries,
  selectTop,
  type TimeWindow,
} from '@conntext/db-audit'
import type { Caller } from '@conntext/http'
import type { AppError } from '@conntext/kernel'
import { auditErrors, fromAudit } from '../errors.ts'
import { filterOf, namesOf, windowOf } from '../filters.ts'
import type { AuditDeps } from '../service.ts'
import { statsErrors } from './errors.ts'

const MOST_VALUES = 50
const MOST_INTERVALS = 1_000
const DEFAULT_TOP = 10
// The engine's days end here.
const LATEST = new Date(Date.UTC(2106, 0, 1))

/** How many events there are by action, actor and so on. @throws request.invalid, audit.badWindow, audit.tooMuchToCount, dependency.away */
export async function getFacets(deps: AuditDeps, caller: Caller, query: AuditFacetsQuery): Promise<AuditFacets> {
  const { from, to, ...asked } = query
  const filter = filterOf(asked)
  const window = windowOf(deps.clock, { from, to })
  await deps.recorder.queried(caller, namesOf(query))
  const [{ total, facets }, actors] = await counted(
    Promise.all([
      selectFacets(deps.audit, { window, filter, most: MOST_VALUES }),
      selectTop(deps.audit, { window, filter, by: 'actorId', most: MOST_VALUES }),
    ]),
  )
  return {
    ...toWindow(window),
    total,
    actions: facets.action,
    services: facets.service,
    severities: facets.severity,
    outcomes: facets.outcome,
    actorKinds: facets.actorKind,
    targetKinds: facets.targetKind,
    actors,
  }
}

/**
 * Events over time and by group, every interval of the window among them.
 * @throws request.invalid, audit.badWindow, audit.tooManyIntervals, audit.badTimeZone, audit.tooMuchToCount (422),
 *   dependency.away (503)
 */
export async function getStats(deps: AuditDeps, caller: Caller, query: AuditStatsQuery): Promise<AuditStats> {
  const { from, to, groupBy, interval, timeZone = 'UTC', top, ...asked } = query
  const filter = filterOf(asked)
  const window = windowOf(deps.clock, { from, to })
  assertTimeZone(timeZone)
  if (window.to > LATEST) throw auditErrors.badWindow('The window must end before 2106.')
  if (interval && intervalsIn(window, interval) > MOST_INTERVALS) {
    throw statsErrors.tooManyIntervals(`At most ${MOST_INTERVALS}: take a shorter window or a longer interval.`)
  }
  await deps.recorder.queried(caller, namesOf(query))
  const most = top === undefined ? DEFAULT_TOP : Number(top)
  const { audit } = deps
  const [starts, points] = await counted(
    Promise.all([
      interval ? intervalStarts(audit, window, interval, timeZone) : [],
      groupBy || interval
        ? selectSeries(audit, { window, filter, by: groupBy, interval, timeZone, most })
        : countEvents(audit, window, filter).then((count) => [{ start: 0, isTop: false, value: null, count }]),
    ]),
  )
  return { ...toWindow(window), timeZone, ...summed(points, starts, groupBy !== undefined) }
}

/** What has no rollup is read event by event, for as long as a query may take: more of that is asked for in parts. */
async function counted<T>(asking: Promise<T>): Promise<T> {
  try {
    return await fromAudit(asking)
  } catch (error) {
    if (failureOf((error as AppError).cause)?.kind !== 'expensive') throw error
    throw statsErrors.tooMuchToCount({ detail: 'Take a shorter window, or fewer filters.', cause: error })
  }
}

const toWindow = ({ from, to }: TimeWindow) => ({ from: from.toISOString(), to: to.toISOString() })

function assertTimeZone(name: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    // An offset is no zone that the engine knows.
    if (/^[A-Za-z]/.test(name)) return
  } catch {}
  throw statsErrors.badTimeZone({ errors: [{ path: '/query/timeZone', message: 'is no name of a time zone' }] })
}

type Sum = { count: number; series: number[] }

function summed(points: Point[], starts: number[], isGrouped: boolean) {
  const places = new Map(starts.map((start, i) => [start, i]))
  const empty = (): Sum => ({ count: 0, series: starts.map(() => 0) })
  const [all, other] = [empty(), empty()]
  const groups = new Map<string | null, Sum>()
  const add = (sum: Sum, { start, count }: Point) => {
    sum.count += count
    const place = places.get(start)
    if (place !== undefined) sum.series[place]! += count
  }
  for (const point of points) {
    add(all, point)
    if (!point.isTop) {
      if (isGrouped) add(other, point)
      continue
    }
    const group = groups.get(point.value) ?? empty()
    groups.set(point.value, group)
    add(group, point)
  }
  return {
    total: all.count,
    starts: starts.map((start) => new Date(start * 1000).toISOString()),
    series: all.series,
    groups: [...groups]
      .map(([value, sum]) => ({ value, ...sum }))
      .sort((a, b) => b.count - a.count || ((a.value ?? '') < (b.value ?? '') ? -1 : 1)),
    other,
  }
}

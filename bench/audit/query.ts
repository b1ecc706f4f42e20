import { type EventFilter, selectEvents, selectFacets, selectSeries, selectTop } from '@conntext/db-audit'
import { queryAudit, unwrap } from '@conntext/sdk'
import { type Bench, cost, percentile } from '../lib/result.ts'
import { ACTOR, FROM, type FullTrail, NEEDLE, NEEDLE_ADDRESS, TO } from './corpus.ts'

type Line = { name: string; ours: () => Promise<unknown>; bare: () => Promise<unknown> }

const window = { from: new Date(FROM), to: new Date(TO) }
const SQL = `SELECT action, uniq(actor_id) AS people, count() AS n FROM audit_events
  WHERE occurred_at >= '2025-06-01' AND occurred_at < '2025-07-01' GROUP BY action ORDER BY n DESC LIMIT 10`

/** What dashboards ask, through the gateway, against the very same SQL put to the engine by a bare client. */
export async function measureQueries(trail: FullTrail, rows: number, report: Parameters<Bench>[1]): Promise<void> {
  for (const line of await linesOf(trail)) {
    const [ours, bare] = [[] as number[], [] as number[]]
    await line.ours()
    await line.bare()
    for (let i = 0; i < 10; i += 1) {
      ours.push(await timed(line.ours))
      bare.push(await timed(line.bare))
    }
    report(
      cost(`query.${line.name}`, 'ms', percentile(ours, 0.5), percentile(bare, 0.5), {
        baselineOf: 'the same SQL from a bare client, to the same engine',
        events: rows,
        p99Ms: Number(percentile(ours, 0.99).toPrecision(4)),
      }),
    )
  }
}

async function linesOf({ bench, audit, run }: FullTrail): Promise<Line[]> {
  const headers = { authorization: `Bearer ${await bench.api.accessToken()}` }
  const get = async (path: string, query: Record<string, string>) => {
    const search = new URLSearchParams({ from: window.from.toISOString(), to: window.to.toISOString(), ...query })
    const response = await fetch(`${bench.server.url}${path}?${search}`, { headers })
    if (!response.ok) throw new Error(await response.text())
    return response.json()
  }
  const needle = (name: string, query: Record<string, string>, filter: EventFilter = query): Line => ({
    name: `needle_${name}`,
    async ours() {
      const { items } = (await get('/v1/audit/events', query)) as { items: unknown[] }
      if (items.length !== 1) throw new Error(`${items.length} needles were found`)
    },
    bare: () => selectEvents(audit, { window, filter, limit: 51 }),
  })
  const series = { window, filter: {}, timeZone: 'Europe/Berlin', most: 10 } as const
  return [
    {
      name: 'dashboard',
      ours: () => get('/v1/audit/stats', { groupBy: 'action', interval: 'day', timeZone: 'Europe/Berlin' }),
      bare: () => selectSeries(audit, { ...series, by: 'action', interval: 'day' }),
    },
    {
      name: 'top_actors',
      ours: () => get('/v1/audit/stats', { groupBy: 'actorId', timeZone: 'Europe/Berlin' }),
      bare: () => selectSeries(audit, { ...series, by: 'actorId', interval: undefined }),
    },
    {
      name: 'facets',
      ours: () => get('/v1/audit/facets', { action: 'auth.*' }),
      bare: () => {
        const filter = { actionPrefixes: ['auth.'] }
        return Promise.all([
          selectFacets(audit, { window, filter, most: 50 }),
          selectTop(audit, { window, filter, by: 'actorId', most: 50 }),
        ])
      },
    },
    {
      name: 'facets_actor',
      ours: () => get('/v1/audit/facets', { actorId: ACTOR }),
      bare: () => {
        const filter = { actorId: ACTOR }
        return Promise.all([
          selectFacets(audit, { window, filter, most: 50 }),
          selectTop(audit, { window, filter, by: 'actorId', most: 50 }),
        ])
      },
    },
    needle('target', { targetId: NEEDLE }),
    needle('request', { requestId: NEEDLE }),
    needle('address', { address: NEEDLE_ADDRESS }, { network: `${NEEDLE_ADDRESS}/32` }),
    needle('reason', { reason: NEEDLE.toUpperCase() }),
    {
      name: 'sql',
      ours: () => unwrap(queryAudit({ client: bench.api.client, body: { sql: SQL } })),
      bare: async () => (await run(`${SQL} FORMAT JSONCompact`)).json(),
    },
  ]
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

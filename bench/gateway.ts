import { loadHttp } from './lib/http-load.ts'
import { type Bench, median, rate } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const PATH = '/v1/permissions'
const CONNECTIONS = 32

/**
 * Authenticated requests through the gateway to a service that needs no database for its answer, against bare Elysia
 * giving the same bytes: what routing, tokens, permissions, limits and the hop cost together.
 */
export const gateway: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const headers = { authorization: `Bearer ${await bench.api.accessToken()}` }
  const answer = await (await fetch(bench.server.url + PATH, { headers })).text()
  await using bare = await startBaseline('elysia.ts', answer)
  const ours = { port: Number(new URL(bench.server.url).port), path: PATH, headers, connections: CONNECTIONS }
  const theirs = { ...ours, port: bare.port }
  const seconds = quick ? 2 : 5
  await loadHttp({ ...ours, seconds: 1 })
  await loadHttp({ ...theirs, seconds: 1 })
  const rounds = { ours: [] as number[], theirs: [] as number[], failed: 0 }
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    const one = await loadHttp({ ...ours, seconds })
    rounds.ours.push(one.perSecond)
    rounds.failed += one.failed
    rounds.theirs.push((await loadHttp({ ...theirs, seconds })).perSecond)
  }
  const more = { baselineOf: 'bare Elysia with the same answer', connections: CONNECTIONS, failed: rounds.failed }
  report(rate('http', 'requests/s', median(rounds.ours), median(rounds.theirs), more))
}

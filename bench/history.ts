import type postgres from 'postgres'
import { openPostgres } from './lib/postgres.ts'
import { type Bench, cost, percentile } from './lib/result.ts'
import { startBenchServer } from './lib/server.ts'

const PAGE = 50
const SHALLOW = 10
const ROWS_PER_INSERT = 50_000

/** A page of history through the gateway, a million messages back, against one ten messages back. */
export const history: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const sql = await openPostgres(bench.server.data, 'communications', 1)
  const depth = quick ? 100_000 : 1_000_000
  const total = depth + PAGE
  await fill(sql, bench.channelId, total)
  await sql.end()
  console.error(`  ${total} messages are there`)
  const headers = { authorization: `Bearer ${await bench.api.accessToken()}` }
  const pageAt = async (before: number): Promise<number> => {
    const query = `before=${before}&limit=${PAGE}`
    const began = performance.now()
    const response = await fetch(`${bench.server.url}/v1/channels/${bench.channelId}/messages?${query}`, { headers })
    const { items } = (await response.json()) as { items: { seq: number }[] }
    const elapsed = performance.now() - began
    if (items.length !== PAGE || items.at(-1)!.seq !== before - 1) throw new Error(`not the page before ${before}`)
    return elapsed
  }
  const times = { deep: [] as number[], shallow: [] as number[] }
  const repeats = quick ? 200 : 1_000
  for (let i = -50; i < repeats; i += 1) {
    const deep = await pageAt(total - depth + 1)
    const shallow = await pageAt(total - SHALLOW + 1)
    // The first ones warm up what both need.
    if (i < 0) continue
    times.deep.push(deep)
    times.shallow.push(shallow)
  }
  report(
    cost('deep', 'ms', percentile(times.deep, 0.5), percentile(times.shallow, 0.5), {
      baselineOf: `the same page ${SHALLOW} messages back`,
      depth,
      page: PAGE,
      p99Ms: Number(percentile(times.deep, 0.99).toPrecision(4)),
      baselineP99Ms: Number(percentile(times.shallow, 0.99).toPrecision(4)),
    }),
  )
}

/** Puts messages straight into the database, as if they had been there and in the search index for long. */
async function fill(sql: postgres.Sql, channelId: string, total: number): Promise<void> {
  await sql`insert into search_progress (channel_id, indexed_seq) values (${channelId}, ${total})
    on conflict (channel_id) do update set indexed_seq = ${total}`
  for (let from = 1; from <= total; from += ROWS_PER_INSERT) {
    const to = Math.min(total, from + ROWS_PER_INSERT - 1)
    await sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
      select gen_random_uuid(), ${channelId}, ${channelId}, seq, 'message ' || seq || ' of a long conversation',
        timestamptz '2020-01-01' + seq * interval '1 second'
      from generate_series(${from}::int, ${to}::int) as seq`
  }
  await sql`insert into streams (name, last_seq) values (${`channel:${channelId}`}, ${total})
    on conflict (name) do update set last_seq = ${total}`
  await sql`vacuum analyze messages`
}

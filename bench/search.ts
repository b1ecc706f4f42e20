import { createChannel, unwrap } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import type postgres from 'postgres'
import { openPostgres } from './lib/postgres.ts'
import { type Bench, cost, percentile, rate } from './lib/result.ts'
import { startBenchServer } from './lib/server.ts'
import { type Corpus, makeCorpus, NEEDLE, wordOf } from './search/corpus.ts'

const PAGE = 50
const INDEXED_MS = 3_600_000

type Line = { name: string; q: string; sort: 'newest' | 'relevance'; tsquery: string; repeats: number }

/**
 * A page of 50 hits through the gateway, with their messages and highlights, for queries of each kind; against the same
 * question in bare SQL, by words and channels known to be right, on the very same table. And how fast messages come into
 * the index, against rows of the same documents going into a table of the same indexes.
 */
export const search: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const small = await unwrap(createChannel({ client: bench.api.client, body: { name: 'small', type: 'text' } }))
  const sql = await openPostgres(bench.server.data, 'communications', 4)
  const total = quick ? 100_000 : 1_000_000
  const corpus = await makeCorpus(sql, { total, channelId: bench.channelId, smallId: small.id })
  console.error(`  ${total} messages are there`)
  report(await measureIndexing(sql, corpus))
  await sql`vacuum analyze search_documents`
  await sql`vacuum analyze messages`
  const headers = { authorization: `Bearer ${await bench.api.accessToken()}` }
  const repeats = quick ? 20 : 50
  const by = (name: string, q: string, tsquery: string, sort: Line['sort'] = 'newest'): Line => ({
    name,
    q,
    sort,
    tsquery,
    repeats,
  })
  const lines = [
    by('common_word', wordOf(1), `'${wordOf(1)}'`),
    by('rare_word', NEEDLE, `'${NEEDLE}'`),
    by('ranked', wordOf(20), `'${wordOf(20)}'`, 'relevance'),
    by('phrase', `"${wordOf(3)} ${wordOf(7)}"`, `'${wordOf(3)}' <-> '${wordOf(7)}'`),
    by('filter_only', `from:${corpus.authors[3]} has:link`, `':from/${corpus.authors[3]}' & ':has/link'`),
    by('needle_in_channel', `${wordOf(1)} in:small`, `'${wordOf(1)}' & ':in/${small.id}'`),
  ]
  for (const line of lines) {
    const ask = async () => {
      const query = new URLSearchParams({ q: line.q, sort: line.sort, limit: String(PAGE) })
      const response = await fetch(`${bench.server.url}/v1/search?${query}`, { headers })
      const { items, isComplete } = (await response.json()) as { items: unknown[]; isComplete: boolean }
      if (!isComplete) throw new Error(`${line.name}: not all is in the index`)
      return items.length
    }
    report(await measureLine(line, ask, () => bare(sql, line)))
  }
  await sql.end()
}

async function measureLine(line: Line, ours: () => Promise<number>, theirs: () => Promise<number>) {
  const times = { ours: [] as number[], theirs: [] as number[] }
  const hits = await ours()
  if (hits !== (await theirs())) throw new Error(`${line.name}: the two found different numbers`)
  for (let i = 0; i < line.repeats; i += 1) {
    times.ours.push(await timed(ours))
    times.theirs.push(await timed(theirs))
  }
  return cost(line.name, 'ms', percentile(times.ours, 0.5), percentile(times.theirs, 0.5), {
    baselineOf: 'the same question in bare SQL on the same table',
    hits,
    p99Ms: Number(percentile(times.ours, 0.99).toPrecision(4)),
    baselineP99Ms: Number(percentile(times.theirs, 0.99).toPrecision(4)),
  })
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

async function bare(sql: postgres.Sql, { tsquery, sort }: Line): Promise<number> {
  if (sort === 'newest') {
    const rows = await sql`select m.* from search_documents d join messages m on m.id = d.message_id
      where d.words @@ ${tsquery}::tsquery order by d.created_at desc, d.message_id desc limit ${PAGE}`
    return rows.length
  }
  const rows = await sql`select m.*, ts_rank_cd(d.words, ${tsquery}::tsquery, 1) as score from (
      select * from search_documents where words @@ ${tsquery}::tsquery
      order by created_at desc, message_id desc limit 1000) d join messages m on m.id = d.message_id
    order by score desc, d.created_at desc limit ${PAGE}`
  return rows.length
}

/** From when the messages were written until all of them are in the index. */
async function measureIndexing(sql: postgres.Sql, { total, writtenAt }: Corpus) {
  await eventually(async () => {
    const [row] = await sql`select coalesce(sum(indexed_seq), 0)::int as reached from search_progress`
    if (row!.reached < total) await Bun.sleep(500)
    return row!.reached >= total
  }, INDEXED_MS)
  const perSecond = total / ((performance.now() - writtenAt) / 1000)
  const sample = Math.min(total, 50_000)
  await sql`create table bench_documents (like search_documents including indexes)`
  const began = performance.now()
  await sql`insert into bench_documents select * from search_documents limit ${sample}`
  const bareRate = sample / ((performance.now() - began) / 1000)
  await sql`drop table bench_documents`
  return rate('indexing', 'messages/s', perSecond, bareRate, {
    baselineOf: 'copying finished documents into a table of the same indexes, in one statement',
    messages: total,
  })
}

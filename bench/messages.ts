import { randomUUIDv7 } from 'bun'
import type postgres from 'postgres'
import { identify } from './lib/identify.ts'
import { createBaseline } from './lib/postgres.ts'
import { type Bench, median, rate } from './lib/result.ts'
import { startBenchServer } from './lib/server.ts'
import { openListeners, sendWindowed, stamped } from './lib/sockets.ts'

const CONNECTIONS = 8
const WINDOW = 32
const ROWS_PER_INSERT = 100
const INSERTERS = 4

/**
 * Messages sent over the gateway's WebSocket and acknowledged, which is after their commit, per second; against bare
 * multi-row inserts of as many rows of the same columns, by the same driver, into a table of the same indexes in the
 * very same Postgres.
 */
export const messages: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const token = await bench.api.accessToken()
  const url = `${bench.server.url.replace('http', 'ws')}/v1/gateway`
  const senders = await openListeners(url, CONNECTIONS, identify(token))
  const sql = await openBaseline(bench.server.data)
  const total = quick ? 8_000 : 40_000
  let next = 0
  const frame = () =>
    JSON.stringify({
      op: 'message.send',
      id: next,
      channelId: bench.channelId,
      nonce: `n${next++}`,
      content: stamped(),
    })
  const send = (count: number) =>
    timed(count, () =>
      Promise.all(
        senders.map(({ socket }) => sendWindowed(socket, { total: count / CONNECTIONS, window: WINDOW, frame })),
      ),
    )
  await send(3_200)
  await insert(sql, 3_200)
  const rounds = { ours: [] as number[], theirs: [] as number[] }
  for (let round = 0; round < 3; round += 1) {
    rounds.ours.push(await send(total))
    rounds.theirs.push(await timed(total, () => insert(sql, total)))
  }
  for (const { socket } of senders) socket.close()
  await sql`drop database bench_baseline`.catch(() => {})
  await sql.end()
  report(
    rate('send', 'messages/s', median(rounds.ours), median(rounds.theirs), {
      baselineOf: `inserts of ${ROWS_PER_INSERT} rows over ${INSERTERS} connections into the same Postgres`,
      connections: CONNECTIONS,
      inFlight: CONNECTIONS * WINDOW,
    }),
  )
}

async function timed(count: number, work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return count / ((performance.now() - began) / 1000)
}

async function openBaseline(data: string): Promise<postgres.Sql> {
  const sql = await createBaseline(data, INSERTERS)
  await sql`create table messages (id uuid primary key, channel_id uuid not null, author_id uuid not null,
    seq bigint not null, nonce text, content text not null, reply_to uuid, created_at timestamptz(3) not null,
    edited_at timestamptz(3), deleted_at timestamptz(3))`
  await sql`create unique index on messages (channel_id, seq)`
  await sql`create unique index on messages (author_id, channel_id, nonce) where nonce is not null`
  return sql
}

let seq = 0

async function insert(sql: postgres.Sql, count: number): Promise<void> {
  const channel_id = randomUUIDv7()
  const author_id = randomUUIDv7()
  const row = () => {
    seq += 1
    const created_at = new Date()
    return { id: randomUUIDv7(), channel_id, author_id, seq, nonce: `n${seq}`, content: stamped(), created_at }
  }
  let left = count / ROWS_PER_INSERT
  const work = async () => {
    while (left-- > 0) await sql`insert into messages ${sql(Array.from({ length: ROWS_PER_INSERT }, row))}`
  }
  await Promise.all(Array.from({ length: INSERTERS }, work))
}

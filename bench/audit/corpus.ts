import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AUDIT_DATABASE, openAudit } from '@conntext/db-audit'
import { startClickHouse } from '@conntext/embedded'
import { silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { startBenchServer } from '../lib/server.ts'

/** What one event alone has, as its target, request and reason. */
export const NEEDLE = 'needle-of-the-bench'
export const NEEDLE_ADDRESS = '198.51.100.77'
/** One of 2,000 people, who did a part of everything. */
export const ACTOR = '00000000-0000-0007-0000-000000000000'
export const FROM = Date.UTC(2025, 0, 1)
const YEAR_MS = 365 * 86_400_000
export const TO = FROM + YEAR_MS
const AT_ONCE = 1_000_000

/** A server over an engine of the bench's own, whose trail has so many events of one year, and one needle. */
export async function startFullTrail(rows: number) {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-bench-'))
  const engine = await startClickHouse({ directory, user: 'conntext', password: 'bench', maxMemoryBytes: 3 * 2 ** 30 })
  const bench = await startBenchServer({
    CONNTEXT_CLICKHOUSE_URL: engine.url,
    CONNTEXT_CLICKHOUSE_USER: engine.user,
    CONNTEXT_CLICKHOUSE_PASSWORD: engine.password,
  })
  const connection = { url: engine.url, username: engine.user, password: engine.password, database: AUDIT_DATABASE }
  const audit = openAudit({ ...connection, log: silentLogger })
  // Once the log has its first batch it takes no rows from before it any more.
  await eventually(async () => {
    const [row] = await audit.rows<{ n: string }>({ sql: 'SELECT toString(count()) AS n FROM events', params: {} })
    return Number(row!.n) > 0
  })
  const run = async (sql: string) => {
    const response = await fetch(`${engine.url}/?database=${AUDIT_DATABASE}`, {
      method: 'POST',
      headers: { 'x-clickhouse-user': engine.user, 'x-clickhouse-key': engine.password },
      body: sql,
    })
    if (!response.ok) throw new Error(await response.text())
    return response
  }
  const began = performance.now()
  for (let first = 0; first < rows; first += AT_ONCE) {
    await (await run(fill(first, Math.min(AT_ONCE, rows - first), rows))).text()
    console.error(`  ${Math.min(rows, first + AT_ONCE)} events, ${Math.round((performance.now() - began) / 1000)} s`)
  }
  // What follows is asked of a trail at rest, not of one that merges what a year brings in minutes.
  await eventually(async () => {
    const [row] = await audit.rows<{ n: string }>({
      sql: 'SELECT toString(count()) AS n FROM system.merges',
      params: {},
    })
    if (row!.n !== '0') await Bun.sleep(1_000)
    return row!.n === '0'
  }, 900_000)
  return {
    bench,
    audit,
    run,
    async [Symbol.asyncDispose]() {
      await audit.close()
      await bench[Symbol.asyncDispose]()
      await engine.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
export type FullTrail = Awaited<ReturnType<typeof startFullTrail>>

/** Events in the order of time, as they come in: 40 actions, each of one service, severity and outcome, and 2,000 people. */
const fill = (first: number, count: number, all: number): string => {
  const isNeedle = `number = ${Math.floor(all / 3)}`
  return `INSERT INTO events
  (id, occurred_at, received_at, service, action, severity, outcome, actor_kind, actor_id, session_id, address, user_agent,
   target_kind, target_id, data, reason, request_id, batch, batch_index)
  SELECT generateUUIDv7() AS id, fromUnixTimestamp64Milli(toInt64(${FROM} + number * ${YEAR_MS / all})) AS occurred_at,
    occurred_at AS received_at, ['auth', 'system', 'messaging', 'realtime'][rand(1) % 4 + 1] AS service,
    concat(service, '.action', toString(rand(2) % 10 AS kind)),
    ['info', 'info', 'info', 'notice', 'warning'][kind % 5 + 1], ['done', 'done', 'done', 'refused', 'failed'][kind % 5 + 1],
    'user', reinterpretAsUUID(toUInt128(rand(6) % 2000 + 1)) AS actor_id, reinterpretAsUUID(toUInt128(rand(7) % 20000 + 1)),
    if(${isNeedle}, '${NEEDLE_ADDRESS}', concat('192.0.2.', toString(rand(8) % 256))), 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
    ['user', 'role', 'channel'][kind % 3 + 1],
    if(${isNeedle}, '${NEEDLE}', concat('target-', toString(rand(10) % 5000))),
    concat('{"name":"', hex(rand(11)), '","channelId":"', toString(actor_id), '"}'),
    multiIf(${isNeedle}, 'because of the ${NEEDLE}', rand(12) % 20 = 0, 'a reason of some words', NULL),
    if(${isNeedle}, '${NEEDLE}', hex(rand64(13))),
    1000000000 + intDiv(number, 1000), number % 1000
  FROM numbers(${first}, ${count}) SETTINGS max_insert_threads = 1, max_threads = 2`
}

import type postgres from 'postgres'
import { openPostgres } from '../lib/postgres.ts'
import { cpuOf, cpuOfChildren } from '../lib/process.ts'
import { median, type Result, rate } from '../lib/result.ts'
import { startBenchServer } from '../lib/server.ts'
import { openChannel, sendAtOnce } from '../messages/load.ts'

const SENDERS = 64
const ROUNDS = 3
const COMMUNICATIONS = 'communications'

/** What an audited action writes in its own transaction: its event, owed to the audit. */
const AUDIT_EACH_SEND = `
  create function bench_audit() returns trigger language plpgsql security definer set search_path from current as $$
  begin
    insert into messaging_outbox (id, topic, payload)
    select id, 'audit', jsonb_build_object('id', id, 'service', 'messaging', 'action', 'message.deletedByModerator',
      'occurredAt', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'severity', 'notice', 'outcome', 'done',
      'actor', jsonb_build_object('kind', 'user', 'id', author_id, 'sessionId', author_id, 'address', '192.0.2.7',
        'userAgent', 'Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101'),
      'target', jsonb_build_object('kind', 'message', 'id', message_id), 'data', jsonb_build_object('channelId', channel_id),
      'reason', null, 'requestId', id)
    from (select uuidv7() as id, id as message_id, author_id, channel_id from added offset 0) as event;
    return null;
  end $$;
  create trigger bench_audit after insert on messages referencing new table as added
    for each statement execute function bench_audit();
  alter table messages disable trigger bench_audit`

/**
 * Sends as they are, which are no audited action, against the same sends as if each were one: with an event in its
 * transaction, which goes by the outbox through the chain to ClickHouse while others are sent.
 */
export async function measureOverhead(quick: boolean, report: (result: Result) => void): Promise<void> {
  await using bench = await startBenchServer()
  await using channel = await openChannel(bench)
  const sql = await openPostgres(bench.server.data, COMMUNICATIONS, 1)
  await sql.unsafe(AUDIT_EACH_SEND)
  const total = SENDERS * (quick ? 60 : 600)
  const found = { audited: [] as Measured[], plain: [] as Measured[] }
  for (let round = -1; round < ROUNDS; round += 1) {
    await sql`alter table messages disable trigger bench_audit`
    const plain = await measured(bench.server.pid, sql, () => sendAtOnce(channel, { senders: SENDERS, total }))
    await sql`alter table messages enable trigger bench_audit`
    const audited = await measured(bench.server.pid, sql, () => sendAtOnce(channel, { senders: SENDERS, total }))
    // The first round warms both up.
    if (round < 0) continue
    found.plain.push(plain)
    found.audited.push(audited)
  }
  const [{ events } = { events: 0 }] = await sql`
    select count(*)::int as events from messaging_outbox where topic = 'audit' and delivered_at is not null`
  if (events < total * (ROUNDS + 1)) throw new Error(`${events} events were shipped`)
  await sql.end()
  const cpuUs = (of: Measured[]) => Math.round(median(of.map((one) => one.cpuUs)) / total)
  const perSecond = (of: Measured[]) => median(of.map((one) => (total / one.sendingMs) * 1000))
  report(
    rate('overhead', 'messages/s', perSecond(found.audited), perSecond(found.plain), {
      of: 'sends, if each were an audited action; none is',
      baselineOf: 'the same sends as they are',
      senders: SENDERS,
      messages: total,
      cpuUs: cpuUs(found.audited),
      baselineCpuUs: cpuUs(found.plain),
      untilAllInClickHouseMs: Math.round(median(found.audited.map((one) => one.allMs))),
      sendingMs: Math.round(median(found.audited.map((one) => one.sendingMs))),
    }),
  )
}

type Measured = { sendingMs: number; allMs: number; cpuUs: number }

/** How long it takes until all are answered, and until nothing is owed any more; with all that it costs by then. */
async function measured(pid: number, sql: postgres.Sql, work: () => Promise<unknown>): Promise<Measured> {
  const cpu = async () => (await cpuOf(pid)) + (await cpuOfChildren(pid))
  const before = await cpu()
  const began = performance.now()
  await work()
  const sendingMs = performance.now() - began
  for (;;) {
    const due = await sql`select from messaging_outbox where delivered_at is null limit 1`
    if (due.length === 0) break
    await Bun.sleep(50)
  }
  return { sendingMs, allMs: performance.now() - began, cpuUs: (await cpu()) - before }
}

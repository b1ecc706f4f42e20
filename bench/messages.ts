import { type Bench, median, rate } from './lib/result.ts'
import { startBenchServer } from './lib/server.ts'
import { openBaseline } from './messages/baseline.ts'
import { latency } from './messages/latency.ts'
import { openChannel, sendAtOnce } from './messages/load.ts'

/** How many people wait for the answer to a message of theirs, and then send the next. */
const SENDERS = [1, 32, 256]
const ROUNDS = 3

/**
 * Messages sent over the gateway's WebSocket and acknowledged, which is after their commit, per second; against bare
 * multi-row inserts of as many rows at once of the same columns, by the same driver, into a table of the same indexes
 * in the very same Postgres. And how long one takes to whoever listens.
 */
export const messages: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  await using channel = await openChannel(bench)
  await using baseline = await openBaseline(bench.server.data)
  await sendAtOnce(channel, { senders: 256, total: 8_192 })
  await baseline.insert({ atOnce: 256, total: 8_192 })
  let most = 0
  for (const senders of SENDERS) {
    const total = (quick ? 1 : 5) * (senders === 1 ? 400 : senders * 32)
    const rounds = { ours: [] as number[], theirs: [] as number[] }
    for (let round = 0; round < ROUNDS; round += 1) {
      rounds.ours.push(await timed(total, () => sendAtOnce(channel, { senders, total })))
      rounds.theirs.push(await timed(total, () => baseline.insert({ atOnce: senders, total })))
    }
    most = median(rounds.ours)
    report(
      rate('send', 'messages/s', most, median(rounds.theirs), {
        senders,
        baselineOf: `bare inserts with as many rows at once into the same Postgres`,
        connections: channel.connectionsFor(senders),
      }),
    )
  }
  await latency({ quick, bench, channel, baseline, halfLoad: most / 2 }, report)
}

async function timed(count: number, work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return count / ((performance.now() - began) / 1000)
}

import { canSplit, startSplit } from '@conntext/testing/split'
import type { ClientSpec } from './crowd/protocol.ts'
import { makeAccounts } from './lib/accounts.ts'
import { type Crowd, cores, startCrowd } from './lib/crowd.ts'
import { line, type Run, run, type Side } from './lib/deliveries.ts'
import { type Bench, cost, median } from './lib/result.ts'
import { settle, startBenchServer, UNLIMITED } from './lib/server.ts'

const CLIENTS = 1_000
const ACCOUNTS = 10
const SENDERS = 16

/**
 * One channel with 1,000 clients: the services apart, with two gateways over Redis and half of the clients at each,
 * against the whole server as one process, whose bus is within it. Deliveries per second, and how long one message takes
 * from the sender's hand to all others' while nothing else happens. Both write through to the disk.
 */
export const redis: Bench = async ({ quick }, report) => {
  if (!(await canSplit())) {
    console.error('  there is no Redis or no S3 server here: left out (`npm test` gets both)')
    return
  }
  await using bench = await startBenchServer()
  await using split = await startSplit({ messaging: 1, env: UNLIMITED, durability: 'full' })
  await using crowd = await startCrowd(1)
  const one = await enter(crowd, 'one', [bench.server.url], [bench.server.pid], bench)
  const pids = split.processes.map(({ pid }) => pid)
  const two = await enter(crowd, 'two', split.urls, pids, await settle(split.urls[0]!))
  const total = quick ? 300 : 1_000
  await run(crowd, two, total, SENDERS)
  await run(crowd, one, total, SENDERS)
  const rounds = { ours: [] as Run[], theirs: [] as Run[] }
  const single = { ours: [] as Run[], theirs: [] as Run[] }
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    rounds.ours.push(await run(crowd, two, total, SENDERS))
    rounds.theirs.push(await run(crowd, one, total, SENDERS))
    single.ours.push(await run(crowd, two, quick ? 50 : 200, 1))
    single.theirs.push(await run(crowd, one, quick ? 50 : 200, 1))
  }
  const baselineOf = 'one process with the bus in it'
  const more = { baselineOf, clients: CLIENTS, gateways: 2, serverProcesses: pids.length }
  report(line('redis', rounds, { ...more, senders: SENDERS }))
  const of = (runs: Run[], key: keyof Run) => Number(median(runs.map((each) => each[key])).toPrecision(4))
  report(
    cost('redis_latency', 'ms', of(single.ours, 'p50'), of(single.theirs, 'p50'), {
      ...more,
      ...{ p99Ms: of(single.ours, 'p99'), lastMs: of(single.ours, 'last') },
      ...{ baselineP99Ms: of(single.theirs, 'p99'), baselineLastMs: of(single.theirs, 'last') },
      ...{ messagesPerSecond: 'one at a time', cores },
    }),
  )
}

type Settled = Awaited<ReturnType<typeof settle>>

/** Lets the clients in, at each of the addresses in turn. */
async function enter(crowd: Crowd, group: string, urls: string[], pids: number[], settled: Settled): Promise<Side> {
  const accounts = await makeAccounts(settled, ACCOUNTS)
  const ports = urls.map((url) => Number(new URL(url).port))
  const clients = Array.from({ length: CLIENTS }, (_, index): ClientSpec => {
    const account = accounts[Math.floor(index / ports.length) % ACCOUNTS]!
    return { token: account.token, port: ports[index % ports.length]! }
  })
  await crowd.open(group, 'gateway', ports[0]!, clients)
  const jobs = Array.from({ length: SENDERS }, (_, client) => ({ client, target: settled.channelId }))
  return { group, pids, jobs, clients: CLIENTS, receivers: CLIENTS, padding: 0 }
}

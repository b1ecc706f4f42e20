import type { Job } from '../crowd/protocol.ts'
import { now } from '../crowd/stamp.ts'
import { type Crowd, cores } from './crowd.ts'
import { cpuOf, cpuOfChildren } from './process.ts'
import { median, percentile, type Result, rate } from './result.ts'

/** A server, and the clients of it that listen. */
export type Side = {
  group: string
  /** Of its processes. */
  pids: number[]
  jobs: Job[]
  clients: number
  /** How many of its clients get each message. */
  receivers: number
  /** Bytes added to each message. */
  padding: number
}

export type Run = {
  perSecond: number
  p50: number
  p99: number
  /** Until the last receiver of a message had it, of messages in the median. */
  last: number
  /** Microseconds of processor time for each delivery: of the server, of engines that it has started, of the clients. */
  cpu: number
  engines: number
  clients: number
  frameBytes: number
}

/** Sends `total` messages, `window` of them unanswered at any time, and waits until all are everywhere. */
export async function run(crowd: Crowd, side: Side, total: number, window: number): Promise<Run> {
  const { group, pids, jobs, padding, clients, receivers } = side
  const inOrder = clients === receivers
  const deliveries = total * receivers
  await (inOrder ? crowd.expectEach(group, total) : crowd.expectInAll(group, deliveries))
  const before = await cpuNow(crowd, pids)
  const began = now()
  const sending = crowd.send({ group, jobs, total, window, padding })
  const [outcome] = await Promise.all([crowd.outcome(group), sending])
  const after = await cpuNow(crowd, pids)
  const each = (one: keyof typeof after) => (after[one] - before[one]) / deliveries
  return {
    perSecond: deliveries / ((outcome.endedAt - began) / 1000),
    p50: percentile(outcome.latencies, 0.5),
    p99: percentile(outcome.latencies, 0.99),
    last: median(outcome.lasts),
    cpu: each('server'),
    engines: each('engines'),
    clients: each('clients'),
    frameBytes: outcome.frameBytes,
  }
}

async function cpuNow(crowd: Crowd, pids: number[]) {
  const sum = async (of: (pid: number) => Promise<number>) =>
    (await Promise.all(pids.map(of))).reduce((all, one) => all + one, 0)
  const [server, engines, clients] = await Promise.all([sum(cpuOf), sum(cpuOfChildren), crowd.cpu()])
  return { server, engines, clients }
}

/** Gives `theirs` as many bytes more in each message as makes both move the same. */
export async function equalise(crowd: Crowd, ours: Side, theirs: Side): Promise<void> {
  const target = await run(crowd, ours, 50, 16)
  const bare = await run(crowd, theirs, 50, 16)
  theirs.padding = Math.max(0, target.frameBytes - bare.frameBytes)
}

/** A line of deliveries per second, with how long they took and what they cost on both sides. */
export function line(name: string, { ours, theirs }: { ours: Run[]; theirs: Run[] }, more: object): Result {
  const of = (runs: Run[], key: keyof Run) => Number(median(runs.map((one) => one[key])).toPrecision(4))
  const side = (runs: Run[]) => ({
    p50Ms: of(runs, 'p50'),
    p99Ms: of(runs, 'p99'),
    ...(Number.isFinite(runs[0]!.last) && { lastMs: of(runs, 'last') }),
    cpuUs: of(runs, 'cpu'),
  })
  const theirSide = Object.entries(side(theirs)).map(([key, value]) => [
    `baseline${key[0]!.toUpperCase()}${key.slice(1)}`,
    value,
  ])
  return rate(name, 'deliveries/s', of(ours, 'perSecond'), of(theirs, 'perSecond'), {
    ...more,
    ...side(ours),
    enginesCpuUs: of(ours, 'engines'),
    clientsCpuUs: of(ours, 'clients'),
    ...Object.fromEntries(theirSide),
    cpuRatio: Number((of(theirs, 'cpu') / of(ours, 'cpu')).toPrecision(4)),
    cores,
  })
}

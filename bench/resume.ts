import { stamped } from './crowd/stamp.ts'
import { type Account, makeAccounts } from './lib/accounts.ts'
import { type Crowd, cores, startCrowd } from './lib/crowd.ts'
import { cpuOf, cpuOfChildren, watchMemory } from './lib/process.ts'
import { type Bench, cost, median, percentile } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const CLIENTS = 2_000
const ACCOUNTS = 40
const PER_SECOND = 10
const AWAY_MS = 2_000
const MIB = 1024 * 1024

type Server = Awaited<ReturnType<typeof startBenchServer>>

/** What one return of all clients was like. */
type Return = { times: number[]; bytes: number; cpu: number; engines: number; peak: number }

/**
 * 2,000 clients that are cut off, and all come back in the same moment with their cursors, while messages go on in the
 * channel that they follow: how long each takes until it has all there was when it was let in. Against bare Bun.serve,
 * which gives to as many that connect at once a single frame of as many bytes.
 */
export const resume: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  await using bare = await startBaseline('greet.ts')
  await using crowd = await startCrowd(1)
  const accounts = await makeAccounts(bench, ACCOUNTS)
  const clients = Array.from({ length: CLIENTS }, (_, index) => ({
    token: accounts[index % ACCOUNTS]!.token,
    returns: true,
  }))
  await crowd.open('ours', 'gateway', Number(new URL(bench.server.url).port), clients)
  await crowd.open('bare', 'bare', bare.port, clients)
  const talking = keepTalking(bench, accounts[0]!)
  await talking.sent(PER_SECOND)
  const rounds = { ours: [] as Return[], theirs: [] as Return[] }
  for (let round = 0; round < (quick ? 2 : 4); round += 1) {
    const one = await comeBack(crowd, 'ours', bench.server.pid, { channelId: bench.channelId })
    rounds.ours.push(one)
    rounds.theirs.push(await comeBack(crowd, 'bare', bare.pid, { bytes: one.bytes }))
  }
  await talking.end()
  const of = (runs: Return[], what: (run: Return) => number) => Number(median(runs.map(what)).toPrecision(4))
  const side = (runs: Return[]) => ({
    p50Ms: of(runs, ({ times }) => percentile(times, 0.5)),
    p99Ms: of(runs, ({ times }) => percentile(times, 0.99)),
    cpuMs: of(runs, ({ cpu }) => cpu / 1000),
    peakMiB: of(runs, ({ peak }) => peak / MIB),
  })
  const last = (runs: Return[]) => of(runs, ({ times }) => Math.max(...times))
  const [ours, theirs] = [side(rounds.ours), side(rounds.theirs)]
  report(
    cost('resume', 'ms', last(rounds.ours), last(rounds.theirs), {
      baselineOf: 'as many WebSockets to a bare Bun.serve, each given one frame of as many bytes',
      of: 'until the last of all is up to date',
      ...{ clients: CLIENTS, accounts: ACCOUNTS, awayMs: AWAY_MS, messagesPerSecond: PER_SECOND },
      ...{ bytesEach: rounds.ours[0]!.bytes, ...ours, enginesCpuMs: of(rounds.ours, ({ engines }) => engines / 1000) },
      ...{ baselineP50Ms: theirs.p50Ms, baselineP99Ms: theirs.p99Ms, baselineCpuMs: theirs.cpuMs },
      ...{ baselinePeakMiB: theirs.peakMiB, cores },
    }),
  )
}

async function comeBack(crowd: Crowd, group: string, pid: number, how: { channelId?: string; bytes?: number }) {
  await using memory = watchMemory(pid)
  await crowd.cut(group)
  await Bun.sleep(AWAY_MS)
  const before = [await cpuOf(pid), await cpuOfChildren(pid)] as const
  const { times, bytes, faults } = await crowd.comeBack(group, how)
  if (faults > 0) throw new Error(`${faults} events came twice or out of order`)
  const [cpu, engines] = [(await cpuOf(pid)) - before[0], (await cpuOfChildren(pid)) - before[1]]
  return { times, bytes, cpu, engines, peak: memory.peak() }
}

/** Somebody who sends at a steady pace, whatever happens to others. */
function keepTalking({ server, channelId }: Server, { token }: Account) {
  let count = 0
  let failure: unknown
  const send = async () => {
    const response = await fetch(`${server.url}/v1/channels/${channelId}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ content: stamped() }),
    })
    if (response.status !== 201) throw new Error(`a message was refused with ${response.status}`)
    count += 1
  }
  const sending = new Set<Promise<void>>()
  const timer = setInterval(() => {
    const one = send()
      .catch((error) => {
        failure = error
      })
      .finally(() => sending.delete(one))
    sending.add(one)
  }, 1_000 / PER_SECOND)
  return {
    async sent(least: number): Promise<void> {
      while (count < least && failure === undefined) await Bun.sleep(20)
    },
    async end(): Promise<void> {
      clearInterval(timer)
      await Promise.all(sending)
      if (failure !== undefined) throw failure
    },
  }
}

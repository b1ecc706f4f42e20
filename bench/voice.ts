import { locateWorker } from '@conntext/realtime/worker'
import { createChannel, unwrap } from '@conntext/sdk'
import { capabilities, opus, send } from '@conntext/testing/media'
import { makeAccounts } from './lib/accounts.ts'
import { cores } from './lib/crowd.ts'
import { cpuOf } from './lib/process.ts'
import { type Bench, cost, median, percentile, rate } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'
import { startBrowser } from './voice/browser.ts'
import { type Flow, type Side, signalJoin, startCall, timeToFirstPacket } from './voice/call.ts'
import { Peer, type Place } from './voice/peer.ts'

const BARE = { baselineOf: 'bare mediasoup with the same topology', cores }
/** Nobody joins more often than this from one account, or they would be told to wait. */
const JOINS_EACH = 3
/**
 * Browsers send no second key frame within 300 ms of one, and mediasoup asks again after a second: who comes that soon
 * after another waits as long, wherever it is.
 */
const BETWEEN_KEY_FRAMES_MS = 500

type Report = Parameters<Bench>[1]
type Sides = { ours: Side; theirs: Side; quick: boolean }

/**
 * Calls through the whole server, against bare mediasoup with the same clients: what the media costs, how long it is
 * until somebody new has some, and what it takes to let them in. One media worker each.
 */
export const voice: Bench = async ({ quick }, report) => {
  const location = await locateWorker()
  if (location.kind === 'missing') {
    console.error(`  left out: ${location.reason}. ${location.remedy}`)
    return
  }
  const size = quick ? { senders: 3, receivers: 10 } : { senders: 4, receivers: 20 }
  const people = size.senders + size.receivers
  const newcomers = quick ? 8 : 20
  await using bench = await startBenchServer({
    CONNTEXT_VOICE_WORKERS: '1',
    CONNTEXT_VOICE_PORT: '0',
    CONNTEXT_VOICE_LISTEN_ADDRESSES: '127.0.0.1',
  })
  await using bare = await startBaseline('sfu.ts', location.path)
  const channel = await unwrap(createChannel({ client: bench.api.client, body: { name: 'voice', type: 'voice' } }))
  const accounts = await makeAccounts(bench, people + 2 * newcomers)
  const tokens = accounts.map(({ token }) => token)
  const url = `${bench.server.url.replace('http', 'ws')}/v1/gateway`
  const ours: Side = {
    ...{ url, channelId: channel.id, tokens, pid: bench.server.pid },
    workerPid: await workerOf(bench.server.pid),
  }
  const theirs: Side = {
    ...{ url: `ws://127.0.0.1:${bare.port}`, channelId: channel.id, tokens: undefined, pid: bare.pid },
    workerPid: await workerOf(bare.pid),
  }
  await packets({ ours, theirs, quick }, size, report)
  const [guests, others] = [{ ...ours, tokens: tokens.slice(people, people + newcomers) }, theirs]
  await join({ ours: guests, theirs: others, quick }, newcomers, report)
  const watchers = { ...ours, tokens: tokens.slice(people + newcomers) }
  await joinFrame({ ours: watchers, theirs: others, quick }, newcomers, report)
  await signalling({ ours: guests, theirs: others, quick }, newcomers, report)
}

/**
 * Packets for each second of a core's time of the media worker. What the process around it takes is told beside it: of
 * ours that is a whole server, which is never idle.
 */
async function packets({ ours, theirs, quick }: Sides, size: Parameters<typeof startCall>[1], report: Report) {
  const flows = { ours: [] as Flow[], theirs: [] as Flow[] }
  const idleMs = await idle(ours)
  let consumers = 0
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    for (const [side, kept] of [
      [ours, flows.ours],
      [theirs, flows.theirs],
    ] as const) {
      await using call = await startCall(side, size)
      consumers = call.consumers
      await call.flow(1)
      kept.push(await call.flow(quick ? 3 : 6))
    }
  }
  const perCore = ({ packets, workerUs }: Flow) => packets / (workerUs / 1e6)
  const per = (all: Flow[], of: (flow: Flow) => number) => Number(median(all.map(of)).toPrecision(4))
  const consumersPerCore = ({ seconds, workerUs }: Flow) => consumers / (workerUs / 1e6 / seconds)
  const of = (all: Flow[]) => ({
    perSecond: per(all, ({ packets, seconds }) => packets / seconds),
    workerUs: per(all, ({ packets, workerUs }) => workerUs / packets),
    processMsPerSecond: per(all, ({ seconds, processUs }) => processUs / 1e3 / seconds),
    consumersPerCore: per(all, consumersPerCore),
  })
  report(
    rate('packets', 'packets/s of a core', per(flows.ours, perCore), per(flows.theirs, perCore), {
      ...{ ...BARE, ...size, consumers, ...of(flows.ours), idleMsPerSecond: idleMs, baselineDetail: of(flows.theirs) },
    }),
  )
}

async function idle({ pid }: Side): Promise<number> {
  const [before, began] = [await cpuOf(pid), performance.now()]
  await Bun.sleep(3_000)
  return Number((((await cpuOf(pid)) - before) / (performance.now() - began)).toPrecision(4))
}

/** From joining until the first packet, with somebody in the call who sends a microphone and a camera. */
async function join({ ours, theirs, quick }: Sides, newcomers: number, report: Report) {
  const times = { ours: [] as number[], theirs: [] as number[] }
  await using _one = await startSending(ours)
  await using _other = await startSending(theirs)
  for (let round = 0; round < (quick ? 2 : JOINS_EACH); round += 1) {
    // The last of them is who sends.
    for (let index = 0; index < newcomers - 1; index += 1) {
      times.ours.push(await timeToFirstPacket(ours, index))
      times.theirs.push(await timeToFirstPacket(theirs, index))
    }
  }
  report(timesOf('join', times))
}

/** From joining until a picture of somebody's camera is decoded, in a browser. */
async function joinFrame({ ours, theirs, quick }: Sides, newcomers: number, report: Report) {
  await using browser = await startBrowser()
  if (!browser) return
  const places = [ours, theirs].map(({ url, channelId, tokens }): Place => ({ url, channelId, tokens }))
  const times = { ours: [] as number[], theirs: [] as number[] }
  for (const place of places) await browser.sendCamera(place, newcomers - 1)
  for (let round = 0; round < (quick ? 2 : JOINS_EACH); round += 1) {
    // The last of them is who sends.
    for (let index = 0; index < newcomers - 1; index += 1) {
      // By turns first: what comes right after something else has a machine that is awake.
      for (const at of (round + index) % 2 === 0 ? [0, 1] : [1, 0]) {
        await Bun.sleep(BETWEEN_KEY_FRAMES_MS)
        const took = await browser.timeToFirstFrame(places[at]!, index)
        // The first is for warming up.
        if (round > 0 || index > 0) (at === 0 ? times.ours : times.theirs).push(took)
      }
    }
  }
  report(timesOf('join_frame', times))
}

function timesOf(name: string, { ours, theirs }: { ours: number[]; theirs: number[] }) {
  const p99 = (all: number[]) => Number(percentile(all, 0.99).toPrecision(4))
  const more = { joins: ours.length, p99Ms: p99(ours), baselineP99Ms: p99(theirs) }
  return cost(name, 'ms', median(ours), median(theirs), { ...BARE, ...more })
}

async function startSending(side: Side) {
  const peer = await Peer.connect(side, (side.tokens?.length ?? 1) - 1)
  await peer.join(capabilities)
  const sending = await send(peer.signalling)
  return {
    async [Symbol.asyncDispose]() {
      sending.close()
      await peer.leave()
      peer.close()
    },
  }
}

/** Processor time for each who joins a call of two, sends and receives there, and leaves: of server and worker. */
async function signalling({ ours, theirs, quick }: Sides, newcomers: number, report: Report) {
  const costs = { ours: [] as number[], theirs: [] as number[] }
  await using _one = await startSending(ours)
  await using _other = await startSending(theirs)
  const peers = await Promise.all(
    [ours, theirs].map((side) =>
      Promise.all(Array.from({ length: newcomers - 1 }, (_, index) => Peer.connect(side, index))),
    ),
  )
  for (let round = 0; round < (quick ? 3 : JOINS_EACH + 2); round += 1) {
    for (const [index, side] of [ours, theirs].entries()) {
      const before = (await cpuOf(side.pid)) + (await cpuOf(side.workerPid))
      for (const peer of peers[index]!) await signalJoin(peer, opus())
      const after = (await cpuOf(side.pid)) + (await cpuOf(side.workerPid))
      // The first is for warming up.
      if (round > 0) (index === 0 ? costs.ours : costs.theirs).push((after - before) / (newcomers - 1))
    }
  }
  for (const peer of peers.flat()) peer.close()
  const joins = costs.ours.length * (newcomers - 1)
  report(cost('signalling', 'µs of CPU a join', median(costs.ours), median(costs.theirs), { ...BARE, joins }))
}

/** The media worker that a process has started; it may still be starting it. */
async function workerOf(pid: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(pid)])
    const line = stdout
      .toString()
      .split('\n')
      .find((each) => each.includes('mediasoup-worker'))
    if (line) return Number.parseInt(line, 10)
    await Bun.sleep(50)
  }
  throw new Error('there is no media worker')
}

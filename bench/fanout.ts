import { eventually } from '@conntext/testing'
import { identify } from './lib/identify.ts'
import { type Bench, median, percentile, rate } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'
import { type Listener, openListeners, sendWindowed, stamped } from './lib/sockets.ts'

const CLIENTS = 500
const WINDOW = 16

type Run = { perSecond: number; p50: number; p99: number; last: number }

/**
 * One channel, 500 WebSocket clients: events delivered per second and how long each took from the sender's hand to the
 * listener's, against bare Bun.serve publishing frames of the same length to as many. Ours are stored durably first.
 */
export const fanout: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  await using bare = await startBaseline('publish.ts')
  const token = await bench.api.accessToken()
  const ours = await openListeners(`${bench.server.url.replace('http', 'ws')}/v1/gateway`, CLIENTS, identify(token))
  const theirs = await openListeners(`ws://127.0.0.1:${bare.port}`, CLIENTS, (socket, ready) => {
    socket.onopen = ready
  })
  const send = (nonce: number) =>
    JSON.stringify({ op: 'message.send', id: nonce, channelId: bench.channelId, content: stamped() })
  await measure(ours, 50, send)
  // As long on the wire as the events that ours have just been, so that both move the same bytes.
  const unpadded = JSON.stringify({ op: 'event', content: stamped(), padding: '' }).length
  const padding = 'x'.repeat(Math.max(0, ours.at(-1)!.frameLength - unpadded))
  const publish = () => JSON.stringify({ op: 'event', content: stamped(), padding })
  await measure(theirs, 50, publish)
  const total = quick ? 200 : 1_000
  const rounds = { ours: [] as Run[], theirs: [] as Run[] }
  for (let round = 0; round < (quick ? 2 : 4); round += 1) {
    rounds.ours.push(await measure(ours, total, send))
    rounds.theirs.push(await measure(theirs, total, publish))
  }
  for (const listener of [...ours, ...theirs]) listener.socket.close()
  const of = (runs: Run[], key: keyof Run) => Number(median(runs.map((run) => run[key])).toPrecision(4))
  report(
    rate('deliveries', 'deliveries/s', of(rounds.ours, 'perSecond'), of(rounds.theirs, 'perSecond'), {
      baselineOf: 'bare Bun.serve publish of frames of the same length',
      clients: CLIENTS,
      p50Ms: of(rounds.ours, 'p50'),
      p99Ms: of(rounds.ours, 'p99'),
      baselineP50Ms: of(rounds.theirs, 'p50'),
      baselineP99Ms: of(rounds.theirs, 'p99'),
    }),
  )
}

/** The first socket sends, all of them listen; every delivery is waited for. */
async function measure(listeners: Listener[], total: number, frame: (index: number) => string): Promise<Run> {
  const [sender, ...others] = listeners as [Listener, ...Listener[]]
  for (const listener of others) {
    listener.received = 0
    listener.latencies = []
  }
  const began = performance.now()
  await sendWindowed(sender.socket, { total, window: WINDOW, frame })
  await eventually(() => others.every((listener) => listener.received === total), 30_000)
  const seconds = (performance.now() - began) / 1000
  const latencies = others.flatMap((listener) => listener.latencies)
  return {
    perSecond: (total * others.length) / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    last: percentile(latencies, 1),
  }
}

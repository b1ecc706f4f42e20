import { identify } from '../lib/identify.ts'
import { cost, percentile, type Result } from '../lib/result.ts'
import { startBaseline } from '../lib/server.ts'
import { openListeners, stamped } from '../lib/sockets.ts'
import type { Baseline } from './baseline.ts'
import type { BenchChannel, BenchServer } from './load.ts'

const STAMP = /"content":"(\d+\.?\d*) /
const TICK_MS = 5
const PAUSE_MS = 5

export type LatencyOptions = {
  quick: boolean
  bench: BenchServer
  channel: BenchChannel
  baseline: Baseline
  /** Messages per second. */
  halfLoad: number
}

/**
 * From a sender's hand to a listener's, by way of the commit: one message at a time while nothing else happens, and at
 * half of what can be sent. Against a bare insert of one row and then a frame through bare Bun's publish, one at a time.
 */
export async function latency(options: LatencyOptions, report: (result: Result) => void): Promise<void> {
  const { quick, channel, baseline, halfLoad } = options
  await using bare = await startBaseline('publish.ts')
  const ours = await openPair(channel.url, identify(channel.token))
  const theirs = await openPair(`ws://127.0.0.1:${bare.port}`, (socket, ready) => {
    socket.onopen = ready
  })
  const some = quick ? 200 : 1_000
  const bareTimes = async () => {
    const send = async () => {
      const began = performance.now()
      await baseline.insert({ atOnce: 1, total: 1 })
      theirs.sender.send(JSON.stringify({ op: 'event', content: stamped().replace(/^\S+/, String(began)) }))
    }
    return oneByOne(theirs.listener, some, send)
  }
  const ourTimes = () => oneByOne(ours.listener, some, () => ours.sender.send(channel.frame()))
  await ourTimes()
  await bareTimes()
  const times = { idle: await ourTimes(), bare: await bareTimes(), loaded: await underLoad(options, ours.listener) }
  const line = (name: string, values: number[], more: object) =>
    report(
      cost(name, 'ms', percentile(values, 0.5), percentile(times.bare, 0.5), {
        baselineOf: 'a bare insert of one row, then a frame through bare Bun.serve publish; nothing else meanwhile',
        p99Ms: Number(percentile(values, 0.99).toPrecision(4)),
        baselineP99Ms: Number(percentile(times.bare, 0.99).toPrecision(4)),
        ...more,
      }),
    )
  line('latency', times.idle, { messagesPerSecond: 'one at a time' })
  line('latency_at_half', times.loaded, { messagesPerSecond: Math.round(halfLoad) })
  for (const socket of [ours.sender, ours.listener, theirs.sender, theirs.listener]) socket.close()
}

async function openPair(url: string, begin: (socket: WebSocket, ready: () => void) => void) {
  const [sender, listener] = await openListeners(url, 2, begin)
  return { sender: sender!.socket, listener: listener!.socket }
}

/** How long each took, in milliseconds; the next is sent when the one before has come. */
async function oneByOne(listener: WebSocket, count: number, send: () => unknown): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i += 1) {
    const arrived = new Promise<number>((resolve) => {
      listener.onmessage = ({ data }) => {
        const sent = STAMP.exec(data as string)?.[1]
        if (sent !== undefined) resolve(performance.now() - Number(sent))
      }
    })
    await send()
    times.push(await arrived)
    await Bun.sleep(PAUSE_MS)
  }
  return times
}

/** Sends at a steady pace, whatever is still on its way, and waits for all. */
async function underLoad({ quick, channel, halfLoad }: LatencyOptions, listener: WebSocket): Promise<number[]> {
  const total = Math.round(halfLoad * (quick ? 2 : 8))
  const times: number[] = []
  const done = Promise.withResolvers<void>()
  listener.onmessage = ({ data }) => {
    const sent = STAMP.exec(data as string)?.[1]
    if (sent === undefined) return
    times.push(performance.now() - Number(sent))
    if (times.length === total) done.resolve()
  }
  for (const socket of channel.sockets) socket.onmessage = null
  const began = performance.now()
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * halfLoad))
    for (; sent < due; sent += 1) channel.sockets[sent % channel.sockets.length]!.send(channel.frame())
    await Bun.sleep(TICK_MS)
  }
  await done.promise
  return times
}

import { describe, expect, test } from 'bun:test'
import { createLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { Registry } from 'prom-client'
import { CallQuality } from '../src/figures/quality.ts'
import { jitterMs, Sampler } from '../src/figures/sampler.ts'
import { receive, send } from './support/media.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

/** The values of a figure, by its labels as they are written. */
async function read(registry: Registry, name: string): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith(name))
  const found = lines.flatMap((line) => {
    const [, own, labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    return own === name ? [[labels, Number(value)] as const] : []
  })
  return new Map(found)
}

const sample = { packets: 10, bytes: 1_000, lost: 1, jitterMs: 2, roundTripMs: 30, score: 9 }
const microphone = { direction: 'in', kind: 'audio', source: 'microphone' } as const

test('a call keeps a few numbers for each source and direction, with the middle and the worst', () => {
  const quality = new CallQuality()
  quality.add(microphone, sample)
  quality.add(microphone, { ...sample, jitterMs: 6, roundTripMs: undefined, score: 3 })
  quality.add({ ...microphone, direction: 'out' }, sample)
  expect(quality.summary()).toEqual([
    {
      ...{ ...microphone, packets: 20, bytes: 2_000, lost: 2 },
      jitterMs: { mean: 4, worst: 6 },
      roundTripMs: { mean: 30, worst: 30 },
      score: { mean: 6, worst: 3 },
    },
    expect.objectContaining({ direction: 'out', packets: 10 }),
  ])
})

test('jitter is told in milliseconds, whatever the clock of the codec', () => {
  expect(jitterMs('audio', 480)).toBe(10)
  expect(jitterMs('video', 900)).toBe(10)
})

test('however many streams there are, so many are looked at in a turn, all of them in the end, and one turn at a time', async () => {
  let asked = 0
  let answer = Promise.withResolvers<void>()
  const producer = (id: number) => ({
    ...{ id: String(id), kind: 'audio', paused: id === 7, closed: false },
    async getStats() {
      asked += 1
      await answer.promise
      return [{ type: 'inbound-rtp', packetCount: 5, byteCount: 50, packetsLost: 0, jitter: 0, score: 10 }]
    },
  })
  const outgoing = new Map(
    Array.from({ length: 25 }, (_, id) => [id, { producer: producer(id), source: 'microphone' }]),
  )
  const quality = new CallQuality()
  const participants = [{ call: { quality, sent: new Map() }, media: { outgoing, incoming: new Map() } }]
  const sampler = new Sampler({
    calls: { participants: () => participants } as never,
    ...{ log: { debug() {} } as never, perTurn: 10, took() {} },
  })
  const [first, same] = [sampler.turn(), sampler.turn()]
  expect(same).toBe(first)
  expect(asked).toBe(10)
  answer.resolve()
  await first
  await sampler.turn()
  await sampler.turn()
  // Whoever is paused sends nothing, and isn't asked for.
  expect(asked).toBe(24)
  expect(quality.summary()[0]).toMatchObject({ packets: 24 * 5 })
  answer = Promise.withResolvers()
  answer.resolve()
  for (let turn = 0; turn < 3; turn += 1) await sampler.turn()
  // Only what has come since is added.
  expect(asked).toBe(48)
  expect(quality.summary()[0]).toMatchObject({ packets: 24 * 5 })
})

withWorker(`figures for Prometheus${skipped}`, () => {
  test('what a call carries is counted by source and direction, and nothing is told by call or person', async () => {
    const registry = new Registry()
    const logged: string[] = []
    const log = createLogger({ service: 'realtime', level: 'info', write: (line) => void logged.push(line) })
    await using stack = await startNodes(1, { registry, log })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    for (const one of [anna, bert]) await one.join(channel.id)
    const { callId } = anna.joined!
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    const labels = (direction: string, kind: string, source: string) =>
      `direction="${direction}",kind="${kind}",source="${source}"`
    await eventually(async () => {
      const packets = await read(registry, 'conntext_voice_packets_total')
      return (['in', 'out'] as const).every(
        (direction) =>
          packets.get(labels(direction, 'audio', 'microphone'))! > 0 &&
          packets.get(labels(direction, 'video', 'camera'))! > 0,
      )
    })
    await eventually(async () => {
      const bytes = await read(registry, 'conntext_voice_bytes_total')
      return bytes.get(labels('in', 'video', 'camera'))! > bytes.get(labels('in', 'audio', 'microphone'))!
    })
    expect([...(await read(registry, 'conntext_voice_score_count')).keys()]).toContain(
      labels('in', 'audio', 'microphone'),
    )
    expect(await read(registry, 'conntext_voice_calls')).toEqual(new Map([['', 1]]))
    expect(await read(registry, 'conntext_voice_participants')).toEqual(new Map([['', 2]]))
    expect(
      (await read(registry, 'conntext_voice_producers')).get('kind="audio",source="microphone",paused="false"'),
    ).toBe(1)
    expect((await read(registry, 'conntext_voice_consumers')).get('kind="video",source="camera",paused="false"')).toBe(
      1,
    )
    const transports = await read(registry, 'conntext_voice_transports')
    expect([...transports.keys()].filter((key) => key.includes('dtls="connected",protocol="udp"'))).toHaveLength(2)
    expect(await read(registry, 'conntext_voice_time_to_media_seconds_count')).toEqual(
      new Map([
        ['direction="send"', 1],
        ['direction="recv"', 1],
      ]),
    )
    const text = await registry.metrics()
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}/)
    sender.close()
    receiver.close()
    for (const one of [anna, bert]) await one.leave()
    expect(await read(registry, 'conntext_voice_calls')).toEqual(new Map([['', 0]]))
    expect(await read(registry, 'conntext_voice_producers')).toEqual(new Map())
    // Of the call itself the log tells, once it is over.
    const told = logged.map((line) => JSON.parse(line)).filter(({ quality }) => quality)
    expect(told).toMatchObject([{ callId, channelId: channel.id, people: 2 }])
    const microphone = told[0].quality.find((one: { source: string }) => one.source === 'microphone')
    expect(microphone).toMatchObject({ direction: 'in', packets: expect.any(Number) })
    // A call that carried nothing is nothing to tell of.
    await anna.join(channel.id)
    await anna.leave()
    expect(logged.filter((line) => line.includes('"quality"'))).toHaveLength(1)
  })

  test('joining is counted by how it ends, workers by what they take and how often they die', async () => {
    const registry = new Registry()
    await using stack = await startNodes(1, { registry, maxParticipants: 1 })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await expect(bert.join(channel.id)).rejects.toMatchObject({ code: 'voice.full' })
    expect(await read(registry, 'conntext_voice_joins_total')).toEqual(
      new Map([
        ['outcome="ok"', 1],
        ['outcome="voice.full"', 1],
      ]),
    )
    // It is left out while it doesn't say within a second.
    await eventually(
      async () => (await read(registry, 'conntext_voice_worker_cpu_seconds_total')).get('worker="0"')! > 0,
    )
    expect((await read(registry, 'conntext_voice_worker_memory_bytes')).get('worker="0"')).toBeGreaterThan(1e6)
    expect(await read(registry, 'conntext_voice_worker_deaths_total')).toEqual(new Map([['', 0]]))
    process.kill(workerPid(), 'SIGKILL')
    await anna.hears('voice.interrupted')
    expect(await read(registry, 'conntext_voice_worker_deaths_total')).toEqual(new Map([['', 1]]))
    await eventually(async () => (await read(registry, 'conntext_voice_workers')).get('') === 1)
  })

  test('a worker that hangs does not hold up the figures', async () => {
    const registry = new Registry()
    await using _stack = await startNodes(1, { registry })
    const pid = workerPid()
    process.kill(pid, 'SIGSTOP')
    try {
      const text = await registry.metrics()
      expect(text).toContain('conntext_voice_worker_memory_bytes{worker="0"}')
      expect(text).not.toContain('conntext_voice_worker_cpu_seconds_total{worker="0"}')
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })
})

function workerPid(): number {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(process.pid)])
  const line = stdout
    .toString()
    .split('\n')
    .find((each) => each.includes('mediasoup-worker'))
  return Number.parseInt(line!, 10)
}

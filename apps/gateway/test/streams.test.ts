import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream, encodeNews, subjects } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import fc from 'fast-check'
import { chaosBus } from './support/chaos.ts'
import { range } from './support/client.ts'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

const impatient = { reconcileMs: 100, gapWaitMs: 5 }

test('an event is delivered once, in order, byte for byte as it was recorded', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const stream = channelStream(channel.id)
  await logs.append(stream, [{ text: 'ä "quoted"' }], stack.bus)
  await logs.append(stream, [{ text: 'two' }, { text: 'three' }], stack.bus)
  await eventually(() => client.seqs(stream).length === 3)
  expect(client.seqs(stream)).toEqual([1, 2, 3])
  const event = client.frames.find((frame) => frame.op === 'event' && frame.seq === 1)
  expect(event).toEqual({
    op: 'event',
    t: 'message.created',
    stream,
    seq: 1,
    at: expect.any(String),
    d: { text: 'ä "quoted"' },
  })
})

test('the server stream reaches everybody, a user stream its owner alone', async () => {
  await using stack = await startStack({ logs })
  const [one, two] = [await stack.authority.member(), await stack.authority.member()]
  const [first, second] = [await stack.enter(one.token), await stack.enter(two.token)]
  const before = first.ready.streams.server
  await logs.append(`user:${one.userId}`, [{ private: true }], stack.bus)
  await logs.append('server', [{ public: true }], stack.bus)
  await eventually(() => second.client.seqs('server').length === 1 && first.client.seqs('server').length === 1)
  expect(second.client.seqs('server')).toEqual([before + 1])
  expect(first.client.seqs('user')).toEqual([1])
  expect(second.client.seqs('user')).toEqual([])
})

test('whatever the bus loses, repeats or overtakes, clients get every event once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.integer(),
        drop: fc.double({ min: 0, max: 0.6, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 0.5, noNaN: true }),
        delay: fc.double({ min: 0, max: 0.5, noNaN: true }),
        batches: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 12 }),
      }),
      async ({ seed, batches, ...chaos }) => {
        await using stack = await startStack({ logs, config: { streams: impatient } })
        const channel = await stack.authority.channel()
        const { token } = await stack.authority.member()
        const { client } = await stack.enter(token)
        const stream = channelStream(channel.id)
        const bus = chaosBus(stack.bus, seed, chaos)
        let last = 0
        for (const size of batches) last = await logs.append(stream, range(1, size), bus)
        await eventually(() => client.seqs(stream).at(-1) === last)
        expect(client.seqs(stream)).toEqual(range(1, last))
      },
    ),
    { numRuns: 12 },
  )
}, 120_000)

test('an event whose publication was lost, with nothing after it, is found by reconciling', async () => {
  await using stack = await startStack({ logs, config: { streams: impatient } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  await logs.append(channelStream(channel.id), [1, 2, 3])
  await eventually(() => client.seqs(channelStream(channel.id)).length === 3)
  expect(client.seqs(channelStream(channel.id))).toEqual([1, 2, 3])
  expect(await stack.metrics()).toMatch(/conntext_gateway_gap_repairs_total [1-9]/)
})

test('after an interruption of the bus streams are compared at once, not at the next round', async () => {
  const gaps = new Set<() => void>()
  await using stack = await startStack({
    logs,
    config: { streams: { reconcileMs: 3_600_000 } },
    gatewayBus: (bus) => ({
      ...bus,
      onGap(listener) {
        gaps.add(listener)
        return async () => void gaps.delete(listener)
      },
    }),
  })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  await logs.append(channelStream(channel.id), [1])
  for (const listener of gaps) listener()
  await eventually(() => client.seqs(channelStream(channel.id)).length === 1)
})

test('a gap whose log has gone is a reset, and the stream goes on after it', async () => {
  await using stack = await startStack({ logs, config: { streams: { ...impatient, reconcileMs: 3_600_000 } } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const stream = channelStream(channel.id)
  await logs.append(stream, range(1, 5))
  await logs.truncate(stream, 3)
  await stack.bus.publish(subjects.stream(stream), encodeNews(5, '{"op":"event"}'))
  const reset = await client.op('reset')
  expect(reset).toEqual({ op: 'reset', stream, seq: 5 })
  await logs.append(stream, [6], stack.bus)
  await eventually(() => client.seqs(stream).length === 1)
  expect(client.seqs(stream)).toEqual([6])
})

test('a stream whose owner was restored from a backup is reset to where the owner stands', async () => {
  await using stack = await startStack({ logs, config: { streams: impatient } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const stream = channelStream(channel.id)
  await logs.append(stream, [1, 2], stack.bus)
  await eventually(() => client.seqs(stream).length === 2)
  await logs.drop(stream)
  expect(await client.op('reset')).toEqual({ op: 'reset', stream, seq: 0 })
  await logs.append(stream, [1], stack.bus)
  await eventually(() => client.seqs(stream).length === 3)
  expect(client.seqs(stream)).toEqual([1, 2, 1])
})

test('nonsense on the bus harms nobody', async () => {
  await using stack = await startStack({ logs, config: { streams: impatient } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const stream = channelStream(channel.id)
  for (const payload of ['', 'x', 'NaN {}', '-1 {}', '99 {"op":"event"}']) {
    await stack.bus.publish(subjects.stream(stream), payload)
  }
  await logs.append(stream, [1], stack.bus)
  await eventually(() => client.seqs(stream).length === 1)
  expect(client.closed).toBeUndefined()
})

test('missing events are fetched as soon as an owner that was away is back', async () => {
  let away = true
  await using stack = await startStack({
    logs,
    config: { streams: { ...impatient, reconcileMs: 3_600_000 } },
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        async streamEvents(query) {
          if (away) throw new Error('connection refused')
          return ports.messaging.streamEvents(query)
        },
      },
    }),
  })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const stream = channelStream(channel.id)
  await logs.append(stream, [1])
  await logs.append(stream, [2], stack.bus)
  expect(client.seqs(stream)).toEqual([])
  away = false
  await eventually(() => client.seqs(stream).length === 2)
  expect(client.seqs(stream)).toEqual([1, 2])
})

test('a stream that nobody needs any more is let go', async () => {
  await using stack = await startStack({ logs, config: { streams: { ...impatient, lingerMs: 10 } } })
  await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const streams = async () => Number(/conntext_gateway_streams (\d+)/.exec(await stack.metrics())?.[1])
  expect(await streams()).toBe(3)
  client.close()
  await eventually(async () => (await streams()) === 0)
})

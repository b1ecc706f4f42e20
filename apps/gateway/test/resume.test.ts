import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import fc from 'fast-check'
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

test('a fresh connection begins at the heads that ready names', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel({ name: 'general' })
  const stream = channelStream(channel.id)
  await logs.append(stream, [1, 2, 3], stack.bus)
  const member = await stack.authority.member()
  const { client, ready } = await stack.enter(member.token)
  expect(ready).toEqual({
    op: 'ready',
    user: expect.objectContaining({ id: member.userId }),
    server: stack.authority.snapshot.server,
    roles: stack.authority.snapshot.roles,
    channels: [{ ...channel, lastSeq: 3, lastReadSeq: 0 }],
    dms: [],
    blocks: [],
    dmsFrom: 'everyone',
    presence: { userId: member.userId, status: 'online', customStatus: null },
    presences: [],
    presenceCount: expect.any(Number),
    voiceStates: [],
    streams: { server: expect.any(Number), user: 0, [stream]: 3 },
    resumed: false,
  })
  await logs.append(stream, [4], stack.bus)
  await eventually(() => client.seqs(stream).length === 1)
  expect(client.seqs(stream)).toEqual([4])
})

test('a cut at any point, with others writing meanwhile, costs no event and repeats none', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        before: fc.integer({ min: 1, max: 60 }),
        cut: fc.double({ min: 0, max: 1, noNaN: true }),
        during: fc.integer({ min: 0, max: 30 }),
        ring: fc.constantFrom(1, 8, 256),
        lost: fc.boolean(),
      }),
      async ({ before, cut, during, ring, lost }) => {
        const streams = { ringFrames: ring, reconcileMs: 50, gapWaitMs: 2 }
        await using stack = await startStack({ logs, config: { streams } })
        const channel = await stack.authority.channel()
        const stream = channelStream(channel.id)
        const { token } = await stack.authority.member()
        // Somebody is there all the time, so that the gateway follows the stream and has a ring of it.
        const { client: witness } = await stack.enter(token)
        await logs.append(stream, range(1, before), stack.bus)
        const cursor = Math.floor(cut * before)
        const writing = (async () => {
          for (let i = 0; i < during; i += 1)
            await logs.append(stream, [i], lost && i % 3 === 0 ? undefined : stack.bus)
        })()
        const { client, ready } = await stack.enter(token, { [stream]: cursor, server: 0 })
        await writing
        const last = before + during
        await eventually(() => client.seqs(stream).at(-1) === last || cursor === last)
        await eventually(() => witness.seqs(stream).length === last)
        expect(client.seqs(stream)).toEqual(range(cursor + 1, last))
        expect(witness.seqs(stream)).toEqual(range(1, last))
        expect(ready.resumed).toBe(true)
      },
    ),
    { numRuns: 12 },
  )
}, 120_000)

test('many streams at once: each goes on exactly where it was left', async () => {
  await using stack = await startStack({ logs, config: { streams: { ringFrames: 4 } } })
  const channels = await Promise.all(range(1, 12).map((n) => stack.authority.channel({ name: `c${n}` })))
  const { token } = await stack.authority.member()
  const streams = channels.map(({ id }) => channelStream(id))
  for (const [index, stream] of streams.entries()) await logs.append(stream, range(1, index + 3))
  const cursors = Object.fromEntries(streams.map((stream, index) => [stream, index % 3]))
  const { client } = await stack.enter(token, cursors)
  for (const stream of streams) await logs.append(stream, ['later'], stack.bus)
  await eventually(() => streams.every((stream, index) => client.seqs(stream).at(-1) === index + 4))
  for (const [index, stream] of streams.entries())
    expect(client.seqs(stream)).toEqual(range((index % 3) + 1, index + 4))
})

test('a log that no longer reaches back is a reset to the head', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  await logs.append(stream, range(1, 10))
  await logs.truncate(stream, 6)
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token, { [stream]: 3 })
  expect(await client.op('reset')).toEqual({ op: 'reset', stream, seq: 10 })
  await logs.append(stream, [11], stack.bus)
  await eventually(() => client.seqs(stream).length === 1)
  expect(client.seqs(stream)).toEqual([11])
})

test('who missed more than is replayed is told to reset', async () => {
  await using stack = await startStack({ logs, config: { streams: { maxReplay: 20 } } })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  await logs.append(stream, range(1, 30))
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token, { [stream]: 9 })
  expect(await client.op('reset')).toEqual({ op: 'reset', stream, seq: 30 })
  const within = await stack.enter(token, { [stream]: 10 })
  await eventually(() => within.client.seqs(stream).length === 20)
})

test("a cursor beyond what the owner has is a reset; one beyond only what this gateway has seen isn't", async () => {
  await using stack = await startStack({ logs, config: { streams: { reconcileMs: 3_600_000 } } })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  await logs.append(stream, [1, 2])
  const { token } = await stack.authority.member()
  const invented = await stack.enter(token, { [stream]: 7 })
  expect(await invented.client.op('reset')).toEqual({ op: 'reset', stream, seq: 2 })
  // Committed, not heard of here: another gateway has delivered them already.
  await logs.append(stream, [3, 4])
  const ahead = await stack.enter(token, { [stream]: 4 })
  await logs.append(stream, [5], stack.bus)
  await eventually(() => ahead.client.seqs(stream).length === 1)
  expect(ahead.client.seqs(stream)).toEqual([5])
  expect(ahead.client.frames.some((frame) => frame.op === 'reset')).toBe(false)
})

test('cursors of streams that are not visible, or not there, are ignored', async () => {
  await using stack = await startStack({ logs })
  const hidden = await hiddenChannel(stack.authority)
  await logs.append(channelStream(hidden.id), [1, 2])
  const { token } = await stack.authority.member()
  const cursors = { [channelStream(hidden.id)]: 0, [`channel:${crypto.randomUUID()}`]: 5, nonsense: 1, __proto__: 3 }
  const { client, ready } = await stack.enter(token, cursors)
  await logs.append('server', ['after'], stack.bus)
  await eventually(() => client.seqs('server').length > 0)
  expect(Object.keys(ready.streams).sort()).toEqual(['server', 'user'])
  expect(client.frames.filter((frame) => frame.op === 'reset')).toEqual([])
  expect(client.seqs(channelStream(hidden.id))).toEqual([])
})

test('a cursor does not read earlier messages for whoever may not: it is reset to the head', async () => {
  await using stack = await startStack({ logs })
  const everyone = stack.authority.snapshot.roles[0]!
  everyone.permissions = everyone.permissions.filter((name) => name !== 'message.history')
  const reader = await stack.authority.member({ permissions: ['message.history'] })
  const other = await stack.authority.member()
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  await logs.append(stream, [1, 2, 3], stack.bus)
  const { client: allowed } = await stack.enter(reader.token, { [stream]: 1 })
  const { client: refused } = await stack.enter(other.token, { [stream]: 1 })
  expect(await refused.op('reset')).toEqual({ op: 'reset', stream, seq: 3 })
  await logs.append(stream, [4], stack.bus)
  await eventually(() => refused.seqs(stream).includes(4) && allowed.seqs(stream).includes(4))
  expect(refused.seqs(stream)).toEqual([4])
  expect(allowed.seqs(stream)).toEqual([2, 3, 4])
  // Who has missed nothing is told nothing.
  const { client: current } = await stack.enter(other.token, { [stream]: 4 })
  await logs.append(stream, [5], stack.bus)
  await eventually(() => current.seqs(stream).includes(5))
  expect(current.frames.some(({ op }) => op === 'reset')).toBe(false)
})

test('a large replay waits for a client that reads slowly, instead of cutting it off', async () => {
  const socket = { maxBufferedBytes: 1_048_576 }
  await using stack = await startStack({ logs, config: { socket, streams: { ringFrames: 8 } } })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  for (let i = 0; i < 10; i += 1) await logs.append(stream, Array(80).fill('x'.repeat(20_000)))
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token, { [stream]: 0 })
  await eventually(() => client.seqs(stream).length === 800)
  expect(client.seqs(stream)).toEqual(range(1, 800))
})

async function hiddenChannel(authority: Awaited<ReturnType<typeof startStack>>['authority']) {
  const channel = await authority.channel({ name: 'hidden' })
  const everyone = authority.snapshot.roles.find((role) => role.isEveryone)!
  authority.snapshot.overrides.push({
    channelId: channel.id,
    targetKind: 'role',
    targetId: everyone.id,
    allow: [],
    deny: ['channel.view'],
  })
  await authority.changed()
  return channel
}

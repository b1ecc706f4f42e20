import { expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import type { Conversation, ConversationNews } from '@conntext/contracts'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { gatewayConfig } from '../src/config.ts'
import { createMetrics } from '../src/metrics.ts'
import { StreamHub } from '../src/streams/hub.ts'
import { openGate } from '../src/streams/sequencer.ts'
import { startStack } from './support/stack.ts'

// An interruption of the bus may come at any moment, also while something is being asked that was true before it.

/** A bus that says that it was interrupted, when the test wants it. */
function interruptible() {
  const gaps = new Set<() => void>()
  const bus = {
    ...createMemoryBus(silentLogger),
    onGap(listener: () => void) {
      gaps.add(listener)
      return async () => void gaps.delete(listener)
    },
  }
  return { bus, gap: () => gaps.forEach((listener) => void listener()) }
}

/** A hub whose streams' owner answers when the test lets it, with what was true when it was asked. */
function startHub() {
  const { bus, gap } = interruptible()
  const owner = { head: 0, asked: [] as (() => void)[] }
  const delivered: string[] = []
  const hub = new StreamHub({
    config: { ...gatewayConfig().streams, reconcileMs: 3_600_000, gapWaitMs: 0 },
    bus,
    source: {
      async heads(streams) {
        const { head } = owner
        await new Promise<void>((resolve) => owner.asked.push(resolve))
        return new Map(streams.map((stream) => [stream, head]))
      },
      events: async (_, after) => ({
        events: Array.from({ length: owner.head - after }, (_, i) => ({
          seq: after + i + 1,
          frame: `${after + i + 1}`,
        })),
        truncated: false,
      }),
    },
    log: silentLogger,
    metrics: createMetrics(),
    gate: openGate,
    deliver: (_, frame) => delivered.push(frame),
    reset: () => {},
    needed: () => true,
  })
  hub.start()
  const answer = async () => (await eventually(() => owner.asked.shift()))()
  return { hub, gap, owner, delivered, answer, [Symbol.asyncDispose]: () => hub.stop() }
}

test('a gap while streams are being compared has them compared once more', async () => {
  await using it = startHub()
  const opening = it.hub.open(['channel:a'])
  await it.answer()
  await opening
  it.gap()
  await eventually(() => it.owner.asked.length === 1)
  it.owner.head = 2
  it.gap()
  await it.answer()
  await it.answer()
  await eventually(() => it.delivered.length === 2)
  expect(it.delivered).toEqual(['1', '2'])
})

test('a gap while a stream is being opened has it compared as soon as it is open', async () => {
  await using it = startHub()
  const opening = it.hub.open(['channel:a'])
  await eventually(() => it.owner.asked.length === 1)
  it.owner.head = 2
  it.gap()
  await it.answer()
  await opening
  await it.answer()
  await eventually(() => it.delivered.length === 2)
  expect(it.delivered).toEqual(['1', '2'])
})

test('whoever is taken into a conversation in a gap, while their ready is being made, has it in ready', async () => {
  const { bus, gap } = interruptible()
  const { promise: reading, resolve: read } = Promise.withResolvers<void>()
  const news: ConversationNews[] = []
  let asked = 0
  await using stack = await startStack({
    gatewayBus: () => bus,
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        conversationsOf: async () => ({
          memberships: news.map(({ conversation: { id }, version }) => ({ id, version })),
          newest: news.map(({ conversation }) => conversation),
          next: null,
        }),
        readStates: async () => {
          asked += 1
          await reading
          return { states: [] }
        },
      },
    }),
  })
  const { token, userId } = await stack.authority.member()
  const entering = stack.enter(token)
  await eventually(() => asked === 1)
  news.push({ version: 1, conversation: conversationOf(userId) })
  gap()
  read()
  const { ready } = await entering
  expect(ready.dms.map(({ id }: Conversation) => id)).toEqual([news[0]!.conversation.id])
})

const NOW = '2026-01-01T00:00:00.000Z'

const conversationOf = (userId: string): Conversation => ({
  id: newId(),
  kind: 'oneToOne',
  name: null,
  ownerId: null,
  participants: [userId, newId()].map((id) => ({ userId: id, joinedAt: NOW, deliveredSeq: 0, readSeq: 0 })),
  lastSeq: 0,
  createdAt: NOW,
  activeAt: NOW,
})

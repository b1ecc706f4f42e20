import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Conversation } from '@conntext/contracts'
import { streamEvents } from '@conntext/db-communications'
import { eventually } from '@conntext/testing'
import { eq, sql } from 'drizzle-orm'
import { type Conversing, startConversing } from './support/conversing.ts'

let stack: Conversing
beforeAll(async () => {
  stack = await startConversing()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const streamOf = (id: string) => `channel:${id}`
const participant = (id: string, userId: string) => `/v1/dms/${id}/participants/${userId}`

test('a conversation that is begun reaches both, on two gateways, with the first message as an event', async () => {
  const [anna, ben, outsider] = await stack.members(3)
  const here = await stack.enter(anna!, 0)
  const there = await stack.enter(ben!, 1)
  const elsewhere = await stack.enter(outsider!, 1)
  const { id } = await stack.open(anna!, [ben!.userId])
  await stack.say(id, anna!, 'first')
  await stack.say(id, ben!, 'second', 1)
  for (const { client } of [here, there]) {
    expect((await client.event('conversation.created')).d).toMatchObject({ id, kind: 'oneToOne', lastSeq: 0 })
    await eventually(() => client.words(id).length === 2)
    expect(client.words(id)).toEqual(['first', 'second'])
    const order = client.frames.map((one) => one.t).filter((type) => type !== undefined)
    expect(order).toEqual(['conversation.created', 'message.created', 'message.created'])
  }
  expect(elsewhere.client.frames.filter((one) => one.op === 'event')).toEqual([])
})

test('what is said before a gateway knows of the conversation is delivered all the same', async () => {
  const known = Promise.withResolvers<void>()
  let late = false
  await using other = await startConversing({
    gatewayPort: (port) => ({
      ...port,
      async streamHeads(query) {
        if (late) await known.promise
        return port.streamHeads(query)
      },
    }),
  })
  const [anna, ben] = await other.members(2)
  const { client } = await other.enter(ben!, 1)
  late = true
  const { id } = await other.open(anna!, [ben!.userId])
  await other.say(id, anna!, 'first')
  await other.say(id, anna!, 'second')
  expect(client.frames.at(-1).op).toBe('ready')
  known.resolve()
  await eventually(() => client.words(id).length === 2)
  expect(client.words(id)).toEqual(['first', 'second'])
  expect((await client.event('conversation.created')).d.lastSeq).toBe(0)
})

test('what changes while somebody is being let in counts', async () => {
  const released = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  await using other = await startConversing({
    gatewayPort: (port) => ({
      ...port,
      async conversationsOf(query) {
        const before = await port.conversationsOf(query)
        asked.resolve()
        await released.promise
        return before
      },
    }),
  })
  const [anna, ben] = await other.members(2)
  const left = await other.open(anna!, [ben!.userId], 'To be left')
  const entering = other.enter(ben!)
  await asked.promise
  await other.call('DELETE', participant(left.id, ben!.userId), anna!)
  const joined = await other.open(anna!, [ben!.userId], 'To be joined')
  released.resolve()
  const { client, ready } = await entering
  expect(ready.dms.map((one: Conversation) => one.id)).toEqual([joined.id])
  expect(ready.streams[streamOf(left.id)]).toBeUndefined()
  await other.say(left.id, anna!, 'without Ben')
  await other.say(joined.id, anna!, 'with Ben')
  await eventually(() => client.words(joined.id).length === 1)
  expect(client.words(left.id)).toEqual([])
})

test('`ready` lists the newest with where they stand, and follows them all', async () => {
  const [anna, ben, cleo] = await stack.members(3)
  const two = await stack.open(anna!, [ben!.userId])
  await stack.say(two.id, anna!, 'hello')
  const three = await stack.open(ben!, [anna!.userId, cleo!.userId])
  const { client, ready } = await stack.enter(ben!, 1)
  expect(ready.dms.map((one: Conversation) => [one.id, one.kind, one.lastSeq])).toEqual([
    [three.id, 'group', 0],
    [two.id, 'oneToOne', 1],
  ])
  expect(ready.dms[1].participants).toHaveLength(2)
  expect(ready.streams).toMatchObject({ [streamOf(two.id)]: 1, [streamOf(three.id)]: 0 })
  await stack.say(two.id, anna!, 'more')
  await eventually(() => client.words(two.id).length === 1)
  expect(client.words(two.id)).toEqual(['more'])
})

test('who was away gets what they missed, with cursors, on another gateway; a bad cursor is reset', async () => {
  const [anna, ben] = await stack.members(2)
  const { id } = await stack.open(anna!, [ben!.userId])
  for (const word of ['1', '2', '3']) await stack.say(id, anna!, word)
  const back = await stack.enter(ben!, 1, { server: 0, user: 0, [streamOf(id)]: 1 })
  expect(back.ready).toMatchObject({ resumed: true })
  await eventually(() => back.client.words(id).length === 2)
  await stack.say(id, anna!, '4')
  await eventually(() => back.client.words(id).length === 3)
  expect(back.client.words(id)).toEqual(['2', '3', '4'])
  const lost = await stack.enter(ben!, 0, { [streamOf(id)]: 99 })
  expect(await lost.client.frame((one) => one.op === 'reset')).toMatchObject({ stream: streamOf(id), seq: 4 })
})

test('nobody else follows it, whatever they may do or name as a cursor', async () => {
  const [anna, ben] = await stack.members(2)
  const administrator = await stack.authority.member({ permissions: ['administrator'] })
  const owner = await stack.authority.member({ owner: true })
  const { id } = await stack.open(anna!, [ben!.userId])
  await stack.say(id, anna!, 'before')
  const others = await Promise.all([
    stack.enter(administrator, 0, { [streamOf(id)]: 0 }),
    stack.enter(owner, 1, { [streamOf(id)]: 0 }),
    stack.enter(stack.withScopes(ben!, ['message.send']), 0, { [streamOf(id)]: 0 }),
  ])
  const inside = await stack.enter(ben!, 1)
  await stack.say(id, anna!, 'after')
  await eventually(() => inside.client.words(id).length === 1)
  for (const { client, ready } of others) {
    expect([ready.dms, ready.streams[streamOf(id)]]).toEqual([[], undefined])
    const sent = await client.ask({ op: 'message.send', channelId: id, content: 'me too' })
    expect([403, 404]).toContain(sent.ok ? 200 : sent.error.status)
    expect((await client.ask({ op: 'delivered', channelId: id, seq: 1 })).error.code).toBe('channel.notFound')
    expect(client.frames.filter((one) => one.stream === streamOf(id))).toEqual([])
  }
})

test('whoever is added follows at once from there, whoever is removed gets nothing more', async () => {
  const [anna, ben, cleo] = await stack.members(3)
  const { id } = await stack.open(anna!, [ben!.userId], 'Group')
  await stack.say(id, anna!, 'before')
  const [a, b, c] = await Promise.all([stack.enter(anna!, 0), stack.enter(ben!, 1), stack.enter(cleo!, 1)])
  await stack.call('PUT', participant(id, cleo!.userId), anna!)
  await stack.say(id, anna!, 'together', 1)
  expect((await c.client.event('conversation.created')).d).toMatchObject({ id, name: 'Group', lastSeq: 2 })
  await eventually(() => c.client.words(id).length === 1)
  await stack.call('DELETE', participant(id, ben!.userId), anna!, undefined, 1)
  for (const word of ['x', 'y', 'z']) await stack.say(id, cleo!, word)
  await eventually(() => a.client.words(id).length === 4 && c.client.words(id).length === 4)
  expect((await b.client.event('conversation.removed')).d).toEqual({ id })
  expect(b.client.words(id)).toEqual(['together'])
  expect(b.client.frames.at(-1).t).toBe('conversation.removed')
  expect(a.client.seqs(id)).toEqual([2, 3, 4, 5, 6, 7])
  expect(c.client.seqs(id)).toEqual([3, 4, 5, 6, 7])
  expect((await a.client.event('conversation.updated', (d) => !d.participantIds.includes(ben!.userId))).seq).toBe(4)
  const { ready } = await stack.enter(ben!, 0)
  expect(ready.dms).toEqual([])
})

test('while people come and go under traffic, nobody gets what was said while they were out', async () => {
  const [anna, ben, cleo] = await stack.members(3)
  const { id } = await stack.open(anna!, [ben!.userId, cleo!.userId])
  const inside = await stack.enter(cleo!, 0)
  const visitor = await stack.enter(ben!, 1)
  let said = 0
  let over = false
  const talking = (async () => {
    while (!over) await stack.say(id, said % 2 === 0 ? anna! : cleo!, `${said++}`, said % 2)
  })()
  for (let round = 0; round < 15; round += 1) {
    await stack.call('DELETE', participant(id, ben!.userId), anna!, undefined, round % 2)
    await stack.call('PUT', participant(id, ben!.userId), anna!, undefined, (round + 1) % 2)
  }
  over = true
  await talking
  const { body } = await stack.call<Conversation>('GET', `/v1/dms/${id}`, anna!)
  await eventually(() => inside.client.seqs(id).at(-1) === body.lastSeq)
  expect(inside.client.seqs(id)).toEqual(Array.from({ length: body.lastSeq }, (_, index) => index + 1))
  await eventually(() => visitor.client.seqs(id).at(-1) === body.lastSeq)
  // Between an event that takes him out and the one that lets him in again, there is nothing of the stream.
  let out = false
  const changes = new Map<number, boolean>()
  for (const frame of inside.client.frames) {
    if (frame.t === 'conversation.updated') changes.set(frame.seq, frame.d.participantIds.includes(ben!.userId))
  }
  const allowed = new Set<number>()
  for (let seq = 1; seq <= body.lastSeq; seq += 1) {
    out = changes.has(seq) ? !changes.get(seq) : out
    if (!out) allowed.add(seq)
  }
  const seen = visitor.client.seqs(id)
  expect(seen.filter((seq) => !allowed.has(seq))).toEqual([])
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
})

test('a gateway that never hears the news cuts off by the stream, and lets in when it looks again', async () => {
  let deaf = true
  const gaps: (() => void)[] = []
  await using other = await startConversing({
    gatewayBus: (bus) => ({
      ...bus,
      subscribe: (subject, listener) =>
        bus.subscribe(subject, (payload) => {
          if (!(deaf && subject === 'conversation.changed')) listener(payload)
        }),
      onGap: (listener) => {
        gaps.push(listener)
        return async () => {}
      },
    }),
  })
  const [anna, ben, cleo] = await other.members(3)
  const { id } = await other.open(anna!, [ben!.userId], 'Group')
  const [a, b, c] = await Promise.all([other.enter(anna!, 0), other.enter(ben!, 1), other.enter(cleo!, 1)])
  await other.call('DELETE', participant(id, ben!.userId), anna!)
  await other.say(id, anna!, 'without Ben')
  await eventually(() => a.client.words(id).length === 1)
  await b.client.event('conversation.removed')
  expect(b.client.words(id)).toEqual([])
  const missed = await other.open(anna!, [cleo!.userId])
  await other.say(missed.id, anna!, 'hello')
  deaf = false
  for (const listener of gaps) listener()
  expect((await c.client.event('conversation.created')).d).toMatchObject({ id: missed.id })
})

test('news that comes late lets nobody in again', async () => {
  const [anna, ben] = await stack.members(2)
  const made = await stack.open(anna!, [ben!.userId], 'Group')
  const [a, b] = await Promise.all([stack.enter(anna!, 0), stack.enter(ben!, 1)])
  await stack.call('DELETE', participant(made.id, ben!.userId), anna!)
  await b.client.event('conversation.removed')
  await stack.bus.publish('conversation.changed', JSON.stringify({ version: 0, conversation: made }))
  await stack.say(made.id, anna!, 'without Ben')
  await eventually(() => a.client.words(made.id).length === 1)
  const again = await stack.open(anna!, [ben!.userId], 'Another')
  await b.client.event('conversation.created', (d) => d.id === again.id)
  expect(b.client.frames.filter((one) => one.t === 'conversation.created')).toHaveLength(1)
  expect(b.client.words(made.id)).toEqual([])
})

test('where the log can no longer say who was taken out, it is asked', async () => {
  let deaf = false
  const gaps: (() => void)[] = []
  await using other = await startConversing({
    gatewayBus: (bus) => ({
      ...bus,
      subscribe: (subject, listener) =>
        bus.subscribe(subject, (payload) => {
          if (!deaf) listener(payload)
        }),
      onGap: (listener) => {
        gaps.push(listener)
        return async () => {}
      },
    }),
  })
  const [anna, ben] = await other.members(2)
  const { id } = await other.open(anna!, [ben!.userId], 'Group')
  const { client } = await other.enter(ben!, 1)
  deaf = true
  await other.call('DELETE', participant(id, ben!.userId), anna!)
  await other.say(id, anna!, 'without Ben')
  await other.db.delete(streamEvents).where(eq(streamEvents.stream, streamOf(id)))
  deaf = false
  for (const listener of gaps) listener()
  await client.event('conversation.removed')
  expect(client.words(id)).toEqual([])
})

test('what has arrived and what has been read is seen by the other, without a number, and in the state', async () => {
  const [anna, ben] = await stack.members(2)
  const { id } = await stack.open(anna!, [ben!.userId])
  const [a, b] = await Promise.all([stack.enter(anna!, 0), stack.enter(ben!, 1)])
  const { seq } = await stack.say(id, anna!, 'hello')
  await eventually(() => b.client.words(id).length === 1)
  expect((await b.client.ask({ op: 'delivered', channelId: id, seq })).ok).toBe(true)
  const about = { channelId: id, userId: ben!.userId }
  const delivered = await a.client.event('delivery.updated')
  expect(delivered).toMatchObject({ stream: streamOf(id), d: { ...about, deliveredSeq: seq, readSeq: 0 } })
  expect(delivered.seq).toBeUndefined()
  await stack.call('PUT', `/v1/channels/${id}/read`, ben!, { seq })
  await a.client.event('delivery.updated', (d) => d.readSeq === seq)
  const { ready } = await stack.enter(anna!, 1)
  const mark = ready.dms[0].participants.find((one: { userId: string }) => one.userId === ben!.userId)
  expect(mark).toMatchObject({ deliveredSeq: seq, readSeq: seq })
  await stack.say(id, anna!, 'next')
  await eventually(() => a.client.words(id).length === 2)
  expect(a.client.seqs(id)).toEqual([1, 2])
})

test('somebody in 2,000 conversations is let in, and follows them all', async () => {
  const [anna, ben] = await stack.members(2)
  await stack.db.execute(sql`with made as (
      insert into conversations (id, kind, owner_id, created_at, active_at)
      select gen_random_uuid(), 'group', ${anna!.userId}, now(), now() - n * interval '1 minute'
      from generate_series(1, 2000) n returning id)
    insert into conversation_participants (conversation_id, user_id, joined_at)
    select id, member, now() from made, unnest(array[${anna!.userId}, ${ben!.userId}]::uuid[]) as member`)
  const [oldest] = await stack.db.execute<{ id: string }>(sql`select id from conversations order by active_at limit 1`)
  const { id } = oldest!
  const began = performance.now()
  const { client, ready } = await stack.enter(ben!, 1)
  expect(performance.now() - began).toBeLessThan(15_000)
  expect(ready.dms).toHaveLength(100)
  expect(Object.keys(ready.streams)).toHaveLength(2_002)
  await stack.say(id, anna!, 'in the oldest')
  await eventually(() => client.words(id).length === 1)
  const again = await stack.enter(ben!, 0, ready.streams)
  await eventually(() => again.client.words(id).length === 1)
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream, type Override } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import fc from 'fast-check'
import { range } from './support/client.ts'
import { type Stack, startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

type Authority = Stack['authority']

function newRole(authority: Authority): string {
  const id = newId()
  const fields = {
    name: id,
    colour: null,
    position: authority.snapshot.roles.length,
    isEveryone: false,
    requireMfa: false,
  }
  authority.snapshot.roles.push({ id, ...fields, permissions: [], createdAt: '2026-01-01T00:00:00.000Z' })
  return id
}

/** Makes the channel one that only a role's members see; without a role, one that everybody sees. */
function restrict(authority: Authority, channelId: string, roleId?: string): Promise<void> {
  const { snapshot } = authority
  const everyone = snapshot.roles.find((role) => role.isEveryone)!.id
  const target = { channelId, targetKind: 'role' as const }
  const overrides: Override[] = roleId
    ? [
        { ...target, targetId: everyone, allow: [], deny: ['channel.view'] },
        { ...target, targetId: roleId, allow: ['channel.view'], deny: [] },
      ]
    : []
  snapshot.overrides = [...snapshot.overrides.filter((one) => one.channelId !== channelId), ...overrides]
  return authority.changed()
}

const changes = (frames: { t?: string }[]) => frames.filter((frame) => frame.t === 'access.changed')

test('a new channel is announced to those who see it, and its first event is not missed', async () => {
  await using stack = await startStack({ logs })
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const channel = await stack.authority.channel({ name: 'new' })
  await logs.append(channelStream(channel.id), ['first'], stack.bus)
  await eventually(() => client.seqs(channelStream(channel.id)).length === 1)
  expect(changes(client.frames)).toEqual([
    {
      op: 'event',
      t: 'access.changed',
      stream: 'user',
      at: expect.any(String),
      d: { channels: [{ ...channel, lastSeq: 0 }], removed: [] },
    } as never,
  ])
  expect(client.seqs(channelStream(channel.id))).toEqual([1])
})

test('what happens in a new channel before the gateway knows of it is delivered all the same', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const { token } = await authority.member()
  const { client } = await stack.enter(token)
  const answer = authority.port.authority
  const known = Promise.withResolvers<void>()
  const late = () => known.promise.then(() => answer({}))
  Object.assign(authority.port, { authority: late })
  const channel = await authority.channel()
  await logs.append(channelStream(channel.id), ['first', 'second'], bus)
  known.resolve()
  await eventually(() => client.seqs(channelStream(channel.id)).length === 2)
  expect(changes(client.frames)).toMatchObject([{ d: { channels: [{ id: channel.id, lastSeq: 0 }] } }])
})

test("a change of one account's roles that nobody heard of is found all the same", async () => {
  await using stack = await startStack({ logs, config: { streams: { reconcileMs: 20 } } })
  const { authority } = stack
  const channel = await authority.channel()
  const role = newRole(authority)
  await restrict(authority, channel.id, role)
  const member = await authority.member()
  const { client } = await stack.enter(member.token)
  const grant = (await authority.port.grant({ userId: member.userId }))!
  stack.unannounced(() => Object.assign(authority.port, { grant: async () => ({ ...grant, roleIds: [role] }) }))
  expect((await client.frame((frame) => frame.t === 'access.changed')).d.channels).toHaveLength(1)
})

test('a deleted channel is taken away', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  stack.authority.snapshot.channels = []
  await stack.authority.changed()
  const { d } = await client.frame((frame) => frame.t === 'access.changed')
  expect(d).toEqual({ channels: [], removed: [channel.id] })
})

test('whoever loses a channel gets nothing of it from that moment, whoever keeps it gets everything', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const role = newRole(authority)
  const [inside, outside] = [await authority.member(), await authority.member()]
  await authority.setGrant(inside.userId, { roleIds: [role] })
  const kept = await stack.enter(inside.token)
  const lost = await stack.enter(outside.token)
  await logs.append(stream, ['public'], bus)
  await eventually(() => lost.client.seqs(stream).length === 1)
  await restrict(authority, channel.id, role)
  // On the bus right after the change, before the gateway can have fetched what it means.
  await logs.append(stream, ['private'], bus)
  await logs.append('server', ['after'], bus)
  await eventually(() => kept.client.seqs(stream).length === 2 && lost.client.seqs('server').length === 1)
  expect(kept.client.seqs(stream)).toEqual([1, 2])
  expect(lost.client.seqs(stream)).toEqual([1])
  expect(changes(lost.client.frames).map((frame) => (frame as { d?: unknown }).d)).toEqual([
    { channels: [], removed: [channel.id] },
  ])
  expect(changes(kept.client.frames)).toEqual([])
})

test('a role given lets in at the head, a role taken shuts out, without another identify', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const role = newRole(authority)
  await restrict(authority, channel.id, role)
  const member = await authority.member()
  const { client, ready } = await stack.enter(member.token)
  expect(ready.channels).toEqual([])
  await logs.append(stream, [1, 2], bus)
  await authority.setGrant(member.userId, { roleIds: [role] })
  const gained = await client.frame((frame) => frame.t === 'access.changed')
  expect(gained.d).toEqual({ channels: [{ ...channel, lastSeq: 2, lastReadSeq: 0 }], removed: [] })
  await logs.append(stream, [3], bus)
  await eventually(() => client.seqs(stream).length === 1)
  await authority.setGrant(member.userId, { roleIds: [] })
  await logs.append(stream, [4], bus)
  await client.frame((frame) => frame.t === 'access.changed' && frame.d.removed.length === 1)
  await logs.append('server', ['after'], bus)
  await eventually(() => client.seqs('server').length === 1)
  expect(client.seqs(stream)).toEqual([3])
})

test('while roles change under traffic, nobody sees what is not theirs, misses what is, or sees it twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('restrict', 'open', 'give', 'take', 'events'), { maxLength: 25 }),
      async (steps) => {
        await using stack = await startStack({ logs, config: { streams: { reconcileMs: 100, gapWaitMs: 2 } } })
        const { authority, bus } = stack
        const channel = await authority.channel()
        const stream = channelStream(channel.id)
        const role = newRole(authority)
        const [always, sometimes] = [await authority.member(), await authority.member()]
        await authority.setGrant(always.userId, { roleIds: [role] })
        const keeper = await stack.enter(always.token)
        const visitor = await stack.enter(sometimes.token)
        let restricted = false
        let member = false
        let last = 0
        const allowed = new Set<number>()
        for (const step of steps) {
          if (step === 'restrict' || step === 'open') {
            restricted = step === 'restrict'
            await restrict(authority, channel.id, restricted ? role : undefined)
          } else if (step === 'give' || step === 'take') {
            member = step === 'give'
            await authority.setGrant(sometimes.userId, { roleIds: member ? [role] : [] })
          } else {
            last = await logs.append(stream, ['one', 'two'], bus)
            if (!restricted || member) for (const seq of [last - 1, last]) allowed.add(seq)
          }
        }
        await logs.append('server', ['end'], bus)
        const end = keeper.ready.streams.server + 1
        await eventually(
          () => visitor.client.seqs('server').includes(end) && keeper.client.seqs(stream).length === last,
        )
        expect(keeper.client.seqs(stream)).toEqual(range(1, last))
        const seen = visitor.client.seqs(stream)
        expect(seen.filter((seq) => !allowed.has(seq))).toEqual([])
        expect(new Set(seen).size).toBe(seen.length)
        expect(follows(visitor.client.frames, stream, channel.id)).toBe(true)
      },
    ),
    { numRuns: 15 },
  )
}, 30_000)

/** Whether the numbers rise by one from each point at which the client was told where the stream stands. */
function follows(
  frames: { op: string; t?: string; stream?: string; seq?: number; d?: never }[],
  stream: string,
  id: string,
) {
  let at = 0
  for (const frame of frames) {
    const gained =
      frame.t === 'access.changed' ? (frame.d as never as { channels: { id: string; lastSeq: number }[] }) : undefined
    const channel = gained?.channels.find((one) => one.id === id)
    if (channel) at = channel.lastSeq
    if (frame.op === 'event' && frame.stream === stream) {
      if (frame.seq !== at + 1) return false
      at += 1
    }
  }
  return true
}

test('a resuming connection whose role is taken during the replay gets no more of the channel', async () => {
  const pages = Promise.withResolvers<void>()
  let asked = 0
  await using stack = await startStack({
    logs,
    config: { streams: { ringFrames: 4 } },
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        async streamEvents(query) {
          asked += 1
          await pages.promise
          return ports.messaging.streamEvents(query)
        },
      },
    }),
  })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const role = newRole(authority)
  await restrict(authority, channel.id, role)
  await logs.append(stream, range(1, 50))
  const member = await authority.member()
  await authority.setGrant(member.userId, { roleIds: [role] })
  const { client } = await stack.enter(member.token, { [stream]: 10 })
  await eventually(() => asked > 0)
  await authority.setGrant(member.userId, { roleIds: [] })
  pages.resolve()
  await client.frame((frame) => frame.t === 'access.changed')
  await logs.append('server', ['after'], bus)
  await eventually(() => client.seqs('server').length === 1)
  expect(client.seqs(stream)).toEqual([])
})

test('while it cannot be known who may see what, nothing is delivered; then everything is', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const { token } = await authority.member()
  const { client } = await stack.enter(token)
  const answer = authority.port.authority
  const away = async () => {
    throw new Error('connection refused')
  }
  Object.assign(authority.port, { authority: away })
  await authority.changed()
  await logs.append(stream, [1], bus)
  await logs.append('server', ['unhindered'], bus)
  await eventually(() => client.seqs('server').length === 1)
  expect(client.seqs(stream)).toEqual([])
  Object.assign(authority.port, { authority: answer })
  await eventually(() => client.seqs(stream).length === 1)
})

test('a member who is banned or has left is closed with 4004', async () => {
  await using stack = await startStack({ logs })
  for (const standing of ['banned', 'left', 'deleted'] as const) {
    const member = await stack.authority.member()
    const { client } = await stack.enter(member.token)
    await stack.authority.setGrant(member.userId, { standing })
    expect(await client.code()).toBe(4004)
  }
})

test('a change whose announcement the bus lost is found all the same', async () => {
  await using stack = await startStack({ logs, config: { streams: { reconcileMs: 20 } } })
  const { authority } = stack
  const { token } = await authority.member()
  const { client } = await stack.enter(token)
  const channel = { ...(await authority.channel()), id: crypto.randomUUID(), name: 'unheard of' }
  await eventually(() => changes(client.frames).length === 1)
  // Said to nobody; the guard has a fresh snapshot for another reason.
  stack.unannounced(() => {
    authority.snapshot.channels.push(channel)
    authority.snapshot.version += 1
  })
  await eventually(() => changes(client.frames).length === 2)
  expect(changes(client.frames)[1]).toMatchObject({ d: { channels: [{ name: 'unheard of' }], removed: [] } })
})

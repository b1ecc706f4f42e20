import { afterAll, expect, test } from 'bun:test'
import { type MessagingPort, userStream } from '@conntext/contracts'
import { channelNotFound } from '@conntext/http'
import { eventually } from '@conntext/testing'
import { type StackOptions, startStack } from './support/stack.ts'
import { testLogs } from './support/streams.ts'

const logs = await testLogs()
afterAll(() => logs[Symbol.asyncDispose]())

type ReadPort = Pick<MessagingPort, 'markRead' | 'readStates'>

const startReading = (reads: Partial<ReadPort>, options: StackOptions = {}) =>
  startStack({
    ...options,
    ports: (ports) => ({ ...ports, messaging: { ...ports.messaging, ...reads } }),
  })

test('ready says up to where each channel has been read', async () => {
  const readChannels: string[] = []
  await using stack = await startReading({
    readStates: async () => ({ states: readChannels.map((channelId) => ({ channelId, lastReadSeq: 7 })) }),
  })
  const [read, unread] = [await stack.authority.channel(), await stack.authority.channel()]
  readChannels.push(read.id, crypto.randomUUID())
  const { ready } = await stack.enter((await stack.authority.member()).token)
  expect(ready.channels.map(({ id, lastReadSeq }: { id: string; lastReadSeq: number }) => [id, lastReadSeq])).toEqual([
    [read.id, 7],
    [unread.id, 0],
  ])
})

test('what another device reads while ready is being made is in ready', async () => {
  const asked: string[] = []
  await using stack = await startReading(
    {
      async readStates({ userId }) {
        asked.push(userId)
        const states = [{ channelId: channel.id, lastReadSeq: asked.length }]
        // Read elsewhere, just after this was looked up: the news is out before the answer is.
        if (asked.length === 1)
          await logs.append(userStream(userId), [{ channelId: channel.id, lastReadSeq: 2 }], stack.bus)
        return { states }
      },
    },
    { logs },
  )
  const channel = await stack.authority.channel()
  const { ready } = await stack.enter((await stack.authority.member()).token)
  expect(ready.channels[0].lastReadSeq).toBe(2)
  expect(ready.streams.user).toBe(1)
})

test('what is read of a conversation while ready is being made is in ready', async () => {
  const id = crypto.randomUUID()
  const at = new Date(0).toISOString()
  const participant = (userId: string) => ({ userId, joinedAt: at, deliveredSeq: 3, readSeq: 1 })
  const other = crypto.randomUUID()
  await using stack = await startStack({
    logs,
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        conversationsOf: async ({ userId }) => ({
          memberships: [{ id, version: 0 }],
          newest: [
            {
              ...{ id, kind: 'oneToOne', name: null, ownerId: null, lastSeq: 9, createdAt: at, activeAt: at },
              participants: [participant(userId), participant(other)],
            },
          ],
          next: null,
        }),
        // Asked after the conversations.
        readStates: async () => ({ states: [{ channelId: id, lastReadSeq: 5 }] }),
      },
    }),
  })
  const member = await stack.authority.member()
  const { ready } = await stack.enter(member.token)
  expect(ready.dms[0].participants).toEqual([
    { ...participant(member.userId), deliveredSeq: 5, readSeq: 5 },
    participant(other),
  ])
})

test('read is passed on for who is connected, and answered; what comes meanwhile is said once', async () => {
  const asked: Parameters<MessagingPort['markRead']>[0][] = []
  const first = Promise.withResolvers<void>()
  await using stack = await startReading({
    async markRead(request) {
      asked.push(request)
      if (asked.length === 1) await first.promise
      return { channelId: request.channelId, lastReadSeq: request.seq }
    },
  })
  const channel = await stack.authority.channel()
  const member = await stack.authority.member()
  const { client } = await stack.enter(member.token)
  const read = (seq: number) => client.ask({ op: 'read', channelId: channel.id, seq })
  const answers = [read(1)]
  await eventually(() => asked.length === 1)
  answers.push(read(3), read(5), read(4))
  await client.ask({ op: 'heartbeat' })
  first.resolve()
  const states = (await Promise.all(answers)).map((reply) => reply.d.lastReadSeq)
  expect(states).toEqual([1, 5, 5, 5])
  expect(asked.map(({ seq }) => seq)).toEqual([1, 5])
  expect(asked[0]).toMatchObject({ caller: { userId: member.userId, sessionId: member.sessionId, scopes: null } })
})

test('a channel that one may not see, malformed marks and who has not identified are refused', async () => {
  await using stack = await startReading({ markRead: () => Promise.reject(channelNotFound()) })
  const channelId = crypto.randomUUID()
  const { client } = await stack.enter((await stack.authority.member()).token)
  const code = async (fields: object) => (await client.ask({ op: 'read', ...fields })).error.code
  expect(await code({ channelId, seq: 1 })).toBe('channel.notFound')
  for (const fields of [{ channelId }, { channelId, seq: -1 }, { channelId, seq: 1.5 }, { channelId: 'x', seq: 1 }]) {
    expect(await code(fields)).toBe('gateway.invalidFrame')
  }
  const stranger = stack.connect()
  await stranger.op('hello')
  expect((await stranger.ask({ op: 'read', channelId, seq: 1 })).error.code).toBe('gateway.notIdentified')
})

test('who is let into a channel hears how far they have read it; what everybody gains is told without', async () => {
  await using stack = await startReading({
    readStates: async () => ({ states: [{ channelId: hidden.id, lastReadSeq: 7 }] }),
  })
  const hidden = await stack.authority.channel()
  const { snapshot } = stack.authority
  const everyone = snapshot.roles[0]!
  const role = { ...everyone, id: crypto.randomUUID(), name: 'insiders', isEveryone: false, permissions: [] }
  snapshot.roles.push(role)
  const override = { channelId: hidden.id, targetKind: 'role' as const }
  snapshot.overrides.push(
    { ...override, targetId: everyone.id, allow: [], deny: ['channel.view'] },
    { ...override, targetId: role.id, allow: ['channel.view'], deny: [] },
  )
  await stack.authority.changed()
  const member = await stack.authority.member()
  const { client } = await stack.enter(member.token)
  const gained = () => client.frames.filter(({ t }) => t === 'access.changed').map(({ d }) => d.channels)
  await stack.authority.setGrant(member.userId, { roleIds: [role.id] })
  await eventually(() => gained().length === 1)
  expect(gained()[0]).toMatchObject([{ id: hidden.id, lastReadSeq: 7 }])
  const open = await stack.authority.channel()
  await eventually(() => gained().length === 2)
  expect(gained()[1]).toMatchObject([{ id: open.id }])
  expect(gained()[1][0]).not.toHaveProperty('lastReadSeq')
})

import { describe, expect, test } from 'bun:test'
import {
  type ChannelUnread,
  type Conversation,
  channelStream,
  type ReadState,
  type UnreadOverview,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { forbid, room } from './room.ts'
import { type Member, onBehalf, type Stack, startMessaging } from './stack.ts'

const mark = (stack: Stack, member: Member, channelId: string, seq: number) =>
  stack.json<ReadState>('PUT', `/v1/channels/${channelId}/read`, member, { seq })

const unread = async (stack: Stack, member: Member): Promise<ChannelUnread[]> =>
  (await stack.json<UnreadOverview>('GET', '/v1/unread', member)).body.items

describe('how far one has read', () => {
  test('only rises, never beyond what there is, and is told to one’s other devices once', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say } = await room(stack)
    for (const content of ['1', '2', '3']) await say(alice, content)
    const marked = async (seq: number) => (await mark(stack, bob, channel.id, seq)).body
    expect(await marked(2)).toEqual({ channelId: channel.id, lastReadSeq: 2 })
    expect((await marked(1)).lastReadSeq).toBe(2)
    expect((await marked(2)).lastReadSeq).toBe(2)
    expect((await marked(Number.MAX_SAFE_INTEGER)).lastReadSeq).toBe(3)
    // What is owed may come more than once, with its id.
    const told = () => [...new Map(stack.told.map((one) => [one.id, one])).values()]
    await eventually(() => told().length === 2, 20_000)
    expect(told()).toMatchObject([
      { stream: `user:${bob.userId}`, type: 'read.updated', data: { channelId: channel.id, lastReadSeq: 2 } },
      { stream: `user:${bob.userId}`, type: 'read.updated', data: { channelId: channel.id, lastReadSeq: 3 } },
    ])
    expect(await stack.sql`select 1 from messaging_outbox where topic = 'stream'`).toHaveLength(2)
    expect(await stack.port.readStates({ userId: bob.userId })).toEqual({
      states: [{ channelId: channel.id, lastReadSeq: 3 }],
    })
    expect(await stack.port.readStates({ userId: alice.userId })).toEqual({ states: [] })
  })

  test('said by many devices at once is the farthest, and the last that is told', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say } = await room(stack)
    for (let n = 1; n <= 20; n += 1) await say(alice, `${n}`)
    const seqs = Array.from({ length: 20 }, (_, n) => ((n * 7) % 20) + 1)
    await Promise.all(seqs.map((seq) => mark(stack, bob, channel.id, seq)))
    expect((await mark(stack, bob, channel.id, 0)).body.lastReadSeq).toBe(20)
    const last = () => (stack.told.at(-1)?.data as ReadState | undefined)?.lastReadSeq
    await eventually(() => last() === 20)
    const told = stack.told.map(({ data }) => (data as ReadState).lastReadSeq)
    expect(told).toEqual([...told].sort((a, b) => a - b))
  })

  test('is the same over the gateway, and refused alike', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say } = await room(stack)
    await say(alice, '1')
    const hidden = await stack.authority.channel({ name: 'hidden' })
    const everyone = stack.authority.snapshot.roles[0]!.id
    const target = { channelId: hidden.id, targetKind: 'role' as const, targetId: everyone }
    stack.authority.snapshot.overrides.push({ ...target, allow: [], deny: ['channel.view'] })
    await stack.authority.changed()
    const caller = onBehalf(bob)
    expect(await stack.port.markRead({ caller, channelId: channel.id, seq: 9 })).toMatchObject({ lastReadSeq: 1 })
    for (const channelId of [hidden.id, newId()]) {
      const refused = { status: 404, code: 'channel.notFound' }
      expect(stack.port.markRead({ caller, channelId, seq: 1 })).rejects.toMatchObject(refused)
      expect((await mark(stack, bob, channelId, 1)).body).toMatchObject(refused)
    }
    const scoped = { ...caller, scopes: ['message.send' as const] }
    expect(stack.port.markRead({ caller: scoped, channelId: channel.id, seq: 1 })).rejects.toMatchObject({
      status: 404,
    })
    const looking = { ...caller, scopes: ['channel.view' as const] }
    expect(stack.port.markRead({ caller: looking, channelId: channel.id, seq: 1 })).rejects.toMatchObject({
      status: 403,
    })
    for (const body of [{}, { seq: -1 }, { seq: 1.5 }, { seq: '1' }, { seq: 1, x: 1 }, { seq: 2 ** 53 }]) {
      const { status } = await stack.json('PUT', `/v1/channels/${channel.id}/read`, bob, body)
      expect(status).toBe(422)
    }
    const stranger = await stack.json('PUT', `/v1/channels/${channel.id}/read`, undefined, { seq: 1 })
    expect(stranger.status).toBe(401)
    expect((await stack.json('GET', '/v1/unread')).status).toBe(401)
  })

  test('where nothing has happened yet is nothing', async () => {
    await using stack = await startMessaging()
    const { channel, bob } = await room(stack)
    expect((await mark(stack, bob, channel.id, 5)).body).toEqual({ channelId: channel.id, lastReadSeq: 0 })
    expect(await stack.sql`select 1 from read_states`).toHaveLength(0)
    expect(stack.told).toEqual([])
  })

  test('goes with the account', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, base, say } = await room(stack)
    const { id } = await say(alice, '1')
    await mark(stack, bob, channel.id, 1)
    await stack.json('PUT', `${base}/${id}/reactions/${encodeURIComponent('👍')}`, bob)
    await stack.port.userDeleted({ userId: bob.userId, messages: 'keep' })
    expect(await stack.sql`select 1 from read_states`).toHaveLength(0)
    expect(await stack.sql`select 1 from message_reactions`).toHaveLength(1)
    await stack.port.userDeleted({ userId: bob.userId, messages: 'delete' })
    expect(await stack.sql`select 1 from message_reactions`).toHaveLength(0)
    const late = await stack.json('PUT', `${base}/${id}/reactions/${encodeURIComponent('👍')}`, bob)
    expect([late.status, (await stack.sql`select 1 from message_reactions`).length]).toEqual([204, 0])
  })
})

describe('what is unread', () => {
  test('are the living messages of others after the mark; what calls one by name, role or all counts besides', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, bob, moderator, say, outcome } = await room(stack)
    const other = await stack.authority.channel({ name: 'other' })
    await stack.authority.channel({ name: 'talk', type: 'voice' })
    const role = stack.authority.snapshot.roles.at(-1)!
    const of = async (member: Member) =>
      (await unread(stack, member)).map(({ unread, mentions, lastReadSeq, lastSeq }) => [
        unread,
        mentions,
        lastReadSeq,
        lastSeq,
      ])
    expect(await of(bob)).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ])
    await say(alice, 'one')
    await say(alice, `two <@${bob.userId}>`)
    await say(moderator, `three @everyone <@${bob.userId}> <@&${role.id}>`)
    const { id } = await say(bob, `four @here <@${bob.userId}>`)
    await outcome('PUT', `${base}/${id}/reactions/${encodeURIComponent('👍')}`, alice)
    expect((await unread(stack, bob)).map(({ channelId }) => channelId)).toEqual([channel.id, other.id])
    expect((await of(bob))[0]).toEqual([3, 2, 0, 5])
    expect((await of(moderator))[0]).toEqual([3, 0, 0, 5])
    await stack.authority.setGrant(alice.userId, { roleIds: [role.id] })
    expect((await of(alice))[0]).toEqual([2, 1, 0, 5])
    await mark(stack, bob, channel.id, 2)
    expect((await of(bob))[0]).toEqual([1, 1, 2, 5])
    await mark(stack, bob, channel.id, 5)
    expect((await of(bob))[0]).toEqual([0, 0, 5, 5])
    const late = await say(alice, `<@${bob.userId}>`)
    expect((await of(bob))[0]).toEqual([1, 1, 5, 6])
    await outcome('DELETE', `${base}/${late.id}`, alice)
    expect((await of(bob))[0]).toEqual([0, 0, 5, 7])
  })

  test('is told of channels that one may see, within the token’s scopes, and survives a restart', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say } = await room(stack)
    await say(alice, '1')
    const token = { ...bob, ...stack.authority.apiToken(bob.userId, ['message.send']) }
    expect(await unread(stack, token)).toEqual([])
    await mark(stack, bob, channel.id, 1)
    await stack.service.stop()
    expect((await unread(stack, bob))[0]).toMatchObject({ lastReadSeq: 1, unread: 0 })
    await forbid(stack, 'channel.view')
    expect(await unread(stack, bob)).toEqual([])
  })

  test('is told of every conversation, the newest too, however many there are', async () => {
    await using stack = await startMessaging()
    const { alice, bob } = await room(stack)
    await stack.sql`with made as (
        insert into conversations (id, kind, created_at, active_at)
        select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'group', now(), now()
        from generate_series(1, 1000) n returning id)
      insert into conversation_participants (conversation_id, user_id, joined_at)
      select id, ${bob.userId}, now() from made`
    const { body: dm } = await stack.json<Conversation>('POST', '/v1/dms', alice, { userIds: [bob.userId] })
    await stack.send(dm.id, alice, { content: 'psst' })
    expect((await unread(stack, bob)).find((one) => one.channelId === dm.id)).toMatchObject({ unread: 1 })
  })

  test('is capped, and counted at once over five hundred channels', async () => {
    await using stack = await startMessaging()
    const { alice, bob } = await room(stack)
    const { snapshot } = stack.authority
    const ids = Array.from({ length: 499 }, () => newId())
    snapshot.channels.push(...ids.map((id, n) => ({ ...snapshot.channels[0]!, id, name: `c${n}`, position: n + 1 })))
    await stack.authority.changed()
    const channels = snapshot.channels.map(({ id }) => id)
    await stack.sql`insert into streams (name, last_seq) select 'channel:' || id, 100 from unnest(${channels}::uuid[]) id`
    await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
      select gen_random_uuid(), id, ${alice.userId}, n, 'x', now() from unnest(${channels}::uuid[]) id, generate_series(1, 100) n`
    const busy = channels[0]!
    await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
      select gen_random_uuid(), ${busy}, ${alice.userId}, n, 'x', now() from generate_series(101, 1100) n`
    await stack.sql`insert into message_mentions (target_id, channel_id, seq, author_id)
      select ${bob.userId}::uuid, ${busy}::uuid, n, ${alice.userId}::uuid from generate_series(1, 1100) n`
    await stack.sql`update streams set last_seq = 1100 where name = ${channelStream(busy)}`
    await stack.sql`insert into read_states (user_id, channel_id, last_read_seq, read_at)
      select ${bob.userId}, id, 90, now() from unnest(${channels.slice(250)}::uuid[]) id`
    const began = performance.now()
    const items = await unread(stack, bob)
    const took = performance.now() - began
    expect(items[0]).toMatchObject({ unread: 999, mentions: 999, lastSeq: 1100 })
    expect(items[1]).toMatchObject({ unread: 100, mentions: 0 })
    expect(items[499]).toMatchObject({ unread: 10, lastReadSeq: 90 })
    expect(took).toBeLessThan(5_000)
  })
})

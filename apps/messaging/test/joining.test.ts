import { expect, test } from 'bun:test'
import type { Message, SearchPage, UnreadOverview } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { assertGapless, room } from './room.ts'
import { type Stack, startMessaging } from './stack.ts'

const setSystemChannel = async (stack: Stack, channelId: string | null) => {
  stack.authority.snapshot.server.systemChannelId = channelId
  await stack.authority.changed()
}

test('that somebody has joined is said in the server’s own channel, once, however often it is told', async () => {
  await using stack = await startMessaging()
  const { channel, base, alice, bob, moderator, events, say, outcome } = await room(stack)
  const joining = { id: newId(), userId: bob.userId }
  await stack.port.memberJoined(joining)
  expect(events).toEqual([])
  await setSystemChannel(stack, channel.id)
  await say(alice, 'before')
  await Promise.all([1, 2, 3].map(() => stack.port.memberJoined(joining)))
  await stack.port.memberJoined(joining)
  const { items } = (await stack.history(channel.id, alice)).body
  expect(items.slice(1)).toMatchObject([
    { id: joining.id, type: 'memberJoined', authorId: bob.userId, content: '', replyTo: null, seq: 2 },
  ])
  expect(events.slice(1)).toMatchObject([{ t: 'message.created', seq: 2, d: items[1] as Message }])
  // Again after having left is another time, in whichever channel it is by then.
  await stack.port.memberJoined({ id: newId(), userId: bob.userId })
  const other = await stack.authority.channel({ name: 'other' })
  await setSystemChannel(stack, other.id)
  await stack.port.memberJoined(joining)
  await stack.port.memberJoined({ id: newId(), userId: bob.userId })
  expect((await stack.history(channel.id, alice)).body.items).toHaveLength(3)
  expect((await stack.history(other.id, alice)).body.items).toHaveLength(1)
  // As what is said of pins: it is unread, but it is neither searched, edited, pinned nor deleted by whom it tells of.
  const { body } = await stack.json<UnreadOverview>('GET', '/v1/unread', alice)
  expect(body.items.map(({ unread }) => unread)).toEqual([2, 1])
  const found = await stack.json<SearchPage>('GET', `/v1/search?q=from:${bob.userId}`, alice)
  expect(found.body.items).toEqual([])
  expect(await outcome('PATCH', `${base}/${joining.id}`, bob, { content: 'x' })).toBe('409 message.fromTheServer')
  expect(await outcome('PUT', `${base}/${joining.id}/pin`, moderator)).toBe('409 message.fromTheServer')
  expect(await outcome('DELETE', `${base}/${joining.id}`, bob)).toBe('403 access.forbidden')
  expect(await outcome('DELETE', `${base}/${joining.id}`, moderator)).toBe('204')
  await setSystemChannel(stack, channel.id)
  await stack.port.memberJoined(joining)
  expect((await stack.history(channel.id, alice)).body.items).toHaveLength(2)
  await assertGapless(stack, channel.id)
})

test('nothing is said of who is gone by then, nor in a channel that is gone', async () => {
  await using stack = await startMessaging()
  const { channel, bob, alice } = await room(stack)
  await setSystemChannel(stack, channel.id)
  await stack.port.userDeleted({ userId: bob.userId, messages: 'keep' })
  await stack.port.memberJoined({ id: newId(), userId: bob.userId })
  expect((await stack.history(channel.id, alice)).body.items).toEqual([])
  await setSystemChannel(stack, newId())
  await stack.port.memberJoined({ id: newId(), userId: alice.userId })
  expect(await stack.sql`select 1 from messages`).toHaveLength(0)
})

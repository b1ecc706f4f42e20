import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { type Client, type Conversing, startConversing } from './support/conversing.ts'

let stack: Conversing
beforeAll(async () => {
  stack = await startConversing()
}, 60_000)
afterAll(() => stack[Symbol.asyncDispose]())

const typers = (client: Client): string[] =>
  client.frames.filter((one) => one.t === 'typing.started').map((one) => one.d.userId)

test('participants hear who is typing in a conversation, on every gateway, and nobody else does', async () => {
  const [ann, ben, eve] = await stack.members(3)
  const { id } = await stack.open(ann!, [ben!.userId])
  const { client: writing } = await stack.enter(ann!)
  const { client: reading } = await stack.enter(ben!, 1)
  const { client: outside } = await stack.enter(eve!, 1)
  expect((await outside.ask({ op: 'typing', channelId: id })).error.code).toBe('channel.notFound')
  expect((await writing.ask({ op: 'typing', channelId: id })).ok).toBe(true)
  await eventually(() => typers(reading).length > 0)
  await stack.say(id, ann!, 'hello')
  await reading.event('message.created')
  expect(typers(reading)).toEqual([ann!.userId])
  expect(outside.frames.filter((one) => one.stream === `channel:${id}`)).toEqual([])
})

test('a group that one was taken out of hears no more of what one types', async () => {
  const [ann, ben, eve] = await stack.members(3)
  const { id } = await stack.open(ann!, [ben!.userId, eve!.userId])
  const { client: removed } = await stack.enter(eve!)
  const { client: reading } = await stack.enter(ben!, 1)
  await stack.call('DELETE', `/v1/dms/${id}/participants/${eve!.userId}`, ann!)
  await removed.event('conversation.removed')
  expect((await removed.ask({ op: 'typing', channelId: id })).error.code).toBe('channel.notFound')
  const { client: silenced } = await stack.enter(ann!)
  const timedOutUntil = new Date(Date.now() + 60_000).toISOString()
  await stack.authority.setGrant(ann!.userId, { timedOutUntil })
  expect((await silenced.ask({ op: 'typing', channelId: id })).error.code).toBe('access.forbidden')
  expect(typers(reading)).toEqual([])
})

test('who has blocked the other, or is blocked, is not told as typing to them', async () => {
  const [ann, ben] = await stack.members(2)
  const { id } = await stack.open(ann!, [ben!.userId])
  const { client: writing } = await stack.enter(ann!)
  const { client: reading } = await stack.enter(ben!, 1)
  expect((await stack.call('PUT', `/v1/blocks/${ann!.userId}`, ben!)).status).toBe(204)
  expect((await writing.ask({ op: 'typing', channelId: id })).error.code).toBe('conversation.notAccepted')
  expect((await reading.ask({ op: 'typing', channelId: id })).error.code).toBe('conversation.blocked')
  expect((await stack.call('DELETE', `/v1/blocks/${ann!.userId}`, ben!)).status).toBe(204)
  expect((await writing.ask({ op: 'typing', channelId: id })).ok).toBe(true)
  await eventually(() => typers(reading).length > 0)
  expect([typers(writing), typers(reading)]).toEqual([[ann!.userId], [ann!.userId]])
})

test('whom one talks with stands first among the presences in ready', async () => {
  const [ann, ben, ...others] = await stack.members(4)
  await stack.open(ann!, [ben!.userId])
  for (const one of [...others, ben!]) await stack.enter(one)
  const presences = async () => (await stack.enter(ann!)).ready.presences.map((one: { userId: string }) => one.userId)
  await eventually(async () => (await presences()).includes(ben!.userId))
  expect((await presences())[0]).toBe(ben!.userId)
})

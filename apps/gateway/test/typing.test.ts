import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import type { Client, Frame } from './support/client.ts'
import { quick } from './support/presence.ts'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

const config = { presence: quick, typing: { againMs: 60_000 }, socket: { typing: { perSecond: 0, burst: 0 } } }
const typing = (client: Client): Frame[] => client.frames.filter((one) => one.t === 'typing.started')
const typers = (client: Client): string[] => typing(client).map((one) => one.d.userId)

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
}, 60_000)
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

test('everybody who sees the channel hears who is typing, once in a while, on every gateway', async () => {
  await using one = await startStack({ config })
  await using two = await startStack({ config, beside: one })
  const [ann, ben] = [await one.authority.member(), await one.authority.member()]
  const channel = await one.authority.channel()
  const { client } = await one.enter(ann.token)
  const { client: desk } = await two.enter(ann.token)
  const { client: watcher } = await two.enter(ben.token)
  const before = Date.now()
  expect(await client.ask({ op: 'typing', channelId: channel.id })).toMatchObject({ ok: true, d: {} })
  const event = await eventually(() => typing(watcher)[0])
  expect(event.stream).toBe(channelStream(channel.id))
  expect(event).not.toHaveProperty('seq')
  expect(Object.keys(event.d).sort()).toEqual(['channelId', 'expiresAt', 'userId'])
  expect(event.d).toMatchObject({ channelId: channel.id, userId: ann.userId })
  const left = Date.parse(event.d.expiresAt) - before
  expect(left).toBeGreaterThanOrEqual(8_000)
  expect(left).toBeLessThan(60_000)
  await client.ask({ op: 'typing', channelId: channel.id })
  await desk.ask({ op: 'typing', channelId: channel.id })
  const { client: benHere } = await one.enter(ben.token)
  await benHere.ask({ op: 'typing', channelId: channel.id })
  await eventually(() => typers(watcher).includes(ben.userId))
  expect(typers(watcher)).toEqual([ann.userId, ben.userId])
})

test('whoever has sent a message may be typing again at once', async () => {
  await using stack = await startStack({ config, logs })
  const channel = await stack.authority.channel()
  const { client } = await stack.enter((await stack.authority.member()).token)
  const { client: watcher } = await stack.enter((await stack.authority.member()).token)
  for (let time = 1; time <= 2; time += 1) {
    await client.ask({ op: 'typing', channelId: channel.id })
    await eventually(() => typing(watcher).length === time)
    await client.ask({ op: 'message.send', channelId: channel.id, content: 'there' })
  }
})

test('only who may write there now is told as typing', async () => {
  await using stack = await startStack({ config })
  const { authority } = stack
  const [ann, ben, eve] = await Promise.all([1, 2, 3].map(() => authority.member()))
  const [channel, closed, voice] = [
    await authority.channel(),
    await authority.channel({ name: 'closed' }),
    await authority.channel({ name: 'voice', type: 'voice' }),
  ]
  const everyone = authority.snapshot.roles.find((role) => role.isEveryone)!
  const override = { targetKind: 'role' as const, targetId: everyone.id, allow: [] }
  authority.snapshot.overrides.push({ ...override, channelId: closed.id, deny: ['channel.view'] })
  const mute = await authority.channel({ name: 'announcements' })
  authority.snapshot.overrides.push({ ...override, channelId: mute.id, deny: ['message.send'] })
  await authority.changed()
  await authority.setGrant(ben!.userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })
  const { client: watcher } = await stack.enter((await authority.member({ owner: true })).token)
  const codeOf = async (token: string, channelId: string) => {
    const { client } = await stack.enter(token)
    const reply = await client.ask({ op: 'typing', channelId })
    return reply.ok ? 'ok' : reply.error.code
  }
  expect(await codeOf(ann!.token, closed.id)).toBe('channel.notFound')
  expect(await codeOf(ann!.token, crypto.randomUUID())).toBe('channel.notFound')
  expect(await codeOf(ann!.token, mute.id)).toBe('access.forbidden')
  expect(await codeOf(ann!.token, voice.id)).toBe('gateway.notATextChannel')
  expect(await codeOf(ben!.token, channel.id)).toBe('access.forbidden')
  expect(await codeOf(authority.apiToken(ann!.userId, ['channel.view']).token, channel.id)).toBe('access.forbidden')
  const bot = authority.apiToken(eve!.userId, ['channel.view', 'message.send'])
  expect(await codeOf(bot.token, channel.id)).toBe('ok')
  await eventually(() => typers(watcher).length > 0)
  expect(typers(watcher)).toEqual([eve!.userId])
})

test('who is invisible is not told as typing', async () => {
  await using stack = await startStack({ config })
  const channel = await stack.authority.channel()
  const [ann, ben] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter((await stack.authority.member()).token)
  const { client } = await stack.enter(ann.token)
  const { client: desk } = await stack.enter(ann.token)
  await desk.ask({ op: 'presence', status: 'invisible' })
  expect((await client.ask({ op: 'typing', channelId: channel.id })).ok).toBe(true)
  const { client: other } = await stack.enter(ben.token)
  await other.ask({ op: 'typing', channelId: channel.id })
  await eventually(() => typers(watcher).length > 0)
  expect(typers(watcher)).toEqual([ben.userId])
})

test('a crowd that types, and one who types everywhere, are bounded', async () => {
  const limits = { typing: { maxPerChannel: 3 }, socket: { typing: { perSecond: 0.01, burst: 2 } } }
  await using stack = await startStack({ config: { presence: quick, ...limits } })
  const channel = await stack.authority.channel()
  const { client: watcher } = await stack.enter((await stack.authority.member()).token)
  for (let index = 0; index < 6; index += 1) {
    const { client } = await stack.enter((await stack.authority.member()).token)
    expect((await client.ask({ op: 'typing', channelId: channel.id })).ok).toBe(true)
  }
  await eventually(() => typers(watcher).length === 3)
  await watcher.ask({ op: 'typing', channelId: channel.id })
  await watcher.ask({ op: 'typing', channelId: channel.id })
  const { error } = await watcher.ask({ op: 'typing', channelId: channel.id })
  expect(error.status).toBe(429)
  expect(typers(watcher).length).toBe(3)
})

test('news of typing are dropped when there are too many, and messages are not', async () => {
  await using stack = await startStack({ config: { ...config, typing: { deliveriesPerSecond: 3 } }, logs })
  const channel = await stack.authority.channel()
  const members = await Promise.all([1, 2, 3].map(() => stack.authority.member()))
  const clients = await Promise.all(members.map(({ token }) => stack.enter(token)))
  // At once: what there is room for is counted by the second.
  await Promise.all(clients.map(({ client }) => client.ask({ op: 'typing', channelId: channel.id })))
  for (const { client } of clients) await client.ask({ op: 'message.send', channelId: channel.id, content: 'there' })
  const said = (client: Client) => client.frames.filter((one) => one.t === 'message.created').length
  for (const { client } of clients) await eventually(() => said(client) === 3)
  expect(typing(clients[0]!.client).length).toBeLessThan(3)
  expect(await stack.metrics()).toMatch(/conntext_gateway_typing_dropped_total [12]/)
})

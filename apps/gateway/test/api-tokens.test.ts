import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream, closeCodes, type MessagingPort, newApiToken } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

test('two connections of one account see as much as what each came with is for', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const { userId, token } = await authority.member()
  const seeing = authority.apiToken(userId, ['channel.view'])
  const blind = authority.apiToken(userId, ['message.send'])
  const everything = authority.apiToken(userId, ['administrator'])
  const [own, other, none, all] = [
    await stack.enter(token),
    await stack.enter(seeing.token),
    await stack.enter(blind.token),
    await stack.enter(everything.token),
  ]
  expect([own, other, none, all].map(({ ready }) => ready.channels.length)).toEqual([1, 1, 0, 1])
  expect(Object.keys(none.ready.streams).sort()).toEqual(['server', 'user'])
  await logs.append(stream, ['said'], bus)
  for (const { client } of [own, other, all]) await eventually(() => client.seqs(stream).length === 1)
  // What comes after it on the same connection has come: the channel's event is not on its way any more.
  await logs.append('server', ['news'], bus)
  await none.client.frame((frame) => frame.stream === 'server')
  expect(none.client.seqs(stream)).toEqual([])
  // A change of roles keeps every connection within its scopes.
  const { client } = none
  const added = await authority.channel()
  await authority.setGrant(userId, { mfa: true })
  await eventually(() =>
    own.client.frames.some((frame) => frame.d?.channels?.some((one: { id: string }) => one.id === added.id)),
  )
  await client.ask({ op: 'heartbeat' })
  expect(client.frames.filter((frame) => frame.t === 'access.changed')).toEqual([])
})

test('what was said before is replayed only to a token that is for reading it', async () => {
  await using stack = await startStack({ logs })
  const { authority, bus } = stack
  const channel = await authority.channel()
  const stream = channelStream(channel.id)
  const { userId } = await authority.member()
  await logs.append(stream, ['one', 'two', 'three'], bus)
  const reading = authority.apiToken(userId, ['channel.view', 'message.history'])
  const looking = authority.apiToken(userId, ['channel.view'])
  const { client } = await stack.enter(reading.token, { [stream]: 1 })
  await eventually(() => client.seqs(stream).length === 2)
  const { client: other } = await stack.enter(looking.token, { [stream]: 1 })
  expect(await other.op('reset')).toMatchObject({ stream, seq: 3 })
  expect(other.seqs(stream)).toEqual([])
})

test('messaging is told by what token a message is sent, and for what it is', async () => {
  const asked: Parameters<MessagingPort['sendMessages']>[0][] = []
  await using stack = await startStack({
    logs,
    async sendMessages(request) {
      asked.push(request)
      throw new Error('enough')
    },
  })
  const channel = await stack.authority.channel()
  const { userId } = await stack.authority.member()
  await stack.authority.setGrant(userId, { kind: 'bot' })
  const { token, tokenId } = stack.authority.apiToken(userId, ['message.send'])
  const { client } = await stack.enter(token)
  await client.ask({ op: 'message.send', channelId: channel.id, content: 'x' })
  expect(asked[0]!.caller).toMatchObject({ userId, sessionId: tokenId, kind: 'bot', scopes: ['message.send'] })
})

test("ready tells a token nothing of its owner's account that others don't see", async () => {
  await using stack = await startStack({
    ports: (ports) => ({
      ...ports,
      auth: {
        ...ports.auth,
        ownUser: async (query) => ({
          ...(await ports.auth.ownUser(query))!,
          email: 'ann@example.org',
          emailVerified: true,
        }),
      },
    }),
  })
  const { userId, token } = await stack.authority.member()
  const api = stack.authority.apiToken(userId, ['administrator'])
  expect((await stack.enter(token)).ready.user).toMatchObject({
    id: userId,
    email: 'ann@example.org',
    emailVerified: true,
  })
  expect((await stack.enter(api.token)).ready.user).toMatchObject({ id: userId, email: null, emailVerified: false })
})

test('a revoked token is closed with 4004 and does not come back; what else the account has open stays', async () => {
  await using stack = await startStack()
  const { authority } = stack
  const { userId, token } = await authority.member()
  const [revoked, kept] = [authority.apiToken(userId, ['channel.view']), authority.apiToken(userId, ['channel.view'])]
  const [one, two, own] = [await stack.enter(revoked.token), await stack.enter(kept.token), await stack.enter(token)]
  await authority.revoke(revoked.tokenId, userId)
  expect(await one.client.code()).toBe(closeCodes.sessionRevoked)
  for (const { client } of [two, own]) expect(await client.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
  const again = stack.connect()
  await again.op('hello')
  expect(await again.ask({ op: 'identify', token: revoked.token })).toMatchObject({
    error: { code: 'access.unauthenticated' },
  })
  expect(await again.code()).toBe(closeCodes.authenticationFailed)
})

test('a token whose revocation nobody heard of loses its connection all the same', async () => {
  await using stack = await startStack({ config: { streams: { reconcileMs: 20 } } })
  const { userId } = await stack.authority.member()
  const { token, tokenId } = stack.authority.apiToken(userId, ['channel.view'])
  const { client } = await stack.enter(token)
  stack.authority.revokeSilently(tokenId)
  expect(await client.code()).toBe(closeCodes.sessionRevoked)
})

test('a token that expires takes its connection with it; one without end lasts', async () => {
  let later = 0
  await using stack = await startStack({ clock: { now: () => new Date(Date.now() + later) } })
  const { userId } = await stack.authority.member()
  const ending = stack.authority.apiToken(userId, ['channel.view'], new Date(Date.now() + 60_000).toISOString())
  const lasting = stack.authority.apiToken(userId, ['channel.view'])
  const [one, two] = [await stack.enter(ending.token), await stack.enter(lasting.token)]
  later = 61_000
  expect(await one.client.code()).toBe(closeCodes.authenticationFailed)
  expect(await two.client.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
})

test("refresh changes nothing for an API token, and takes none in a session's place", async () => {
  await using stack = await startStack()
  const { userId, token } = await stack.authority.member()
  const api = stack.authority.apiToken(userId, ['channel.view'])
  const { client } = await stack.enter(api.token)
  expect(await client.ask({ op: 'refresh', token: api.token })).toMatchObject({ ok: true })
  expect(await client.ask({ op: 'refresh', token })).toMatchObject({ ok: false })
  const { client: own } = await stack.enter(token)
  expect(await own.ask({ op: 'refresh', token: api.token })).toMatchObject({
    ok: false,
    error: { code: 'access.unauthenticated' },
  })
})

test('an API token has a rate of its own; made-up ones are counted against their address', async () => {
  const account = { perSecond: 0.01, burst: 2 }
  const rates = { account, address: { perSecond: 0.01, burst: 3 }, credentials: account }
  await using stack = await startStack({ config: { rates } })
  const { userId, token } = await stack.authority.member()
  const api = stack.authority.apiToken(userId, ['channel.view'])
  const ask = async (bearer: string) =>
    (await fetch(`${stack.url}/v1/server`, { headers: { authorization: `Bearer ${bearer}` } })).status
  expect([await ask(api.token), await ask(api.token), await ask(api.token)]).toEqual([200, 200, 429])
  expect([await ask(token), await ask(token), await ask(token)]).toEqual([200, 200, 429])
  const made = [newApiToken(), 'conntext_nonsense', newApiToken(), newApiToken()]
  const statuses = []
  for (const one of made) statuses.push(await ask(one))
  expect(statuses).toEqual([401, 401, 401, 429])
})

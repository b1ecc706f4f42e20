import { afterAll, beforeAll, expect, test } from 'bun:test'
import { GOES_ON } from '../src/http/maintenance.ts'
import { type Stack, startStack } from './support/stack.ts'
import { testLogs } from './support/streams.ts'

const logs = await testLogs()
let stack: Stack
let member: { token: string; userId: string }
let admin: typeof member
const joins: unknown[] = []
beforeAll(async () => {
  stack = await startStack({
    logs,
    ports: (ports) => ({
      ...ports,
      realtime: {
        ...ports.realtime,
        async voiceJoin(request: { channelId: string }) {
          joins.push(request)
          throw new Error('there are no nodes here')
        },
      } as typeof ports.realtime,
    }),
  })
  member = await stack.authority.member()
  admin = await stack.authority.member({ permissions: ['system.manage'] })
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
  await logs[Symbol.asyncDispose]()
})

async function maintain(maintenance: Stack['authority']['snapshot']['server']['maintenance']) {
  stack.authority.snapshot.server.maintenance = maintenance
  await stack.authority.changed()
}
const since = '2026-01-01T00:00:00.000Z'

const ask = async (method: string, path: string, { token }: { token?: string } = member, at = stack) => {
  const response = await fetch(at.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    ...(method === 'GET' ? {} : { body: '{}' }),
  })
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  }
}

const id = crypto.randomUUID()
const WRITES = [
  ['POST', `/v1/channels/${id}/messages`],
  ['PATCH', '/v1/server'],
  ['POST', '/v1/uploads'],
] as const

test('changes are refused to members, by whichever way, and reading and logging in go on', async () => {
  await maintain({ message: 'We move house.', since, until: new Date(Date.now() + 600_000).toISOString() })
  for (const [method, path] of WRITES) {
    const refused = await ask(method, path)
    expect(refused.body).toMatchObject({ code: 'server.maintenance', detail: 'We move house.' })
    expect(refused.status).toBe(503)
    const wait = Number(refused.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(590)
    expect(wait).toBeLessThanOrEqual(600)
  }
  // Nobody's token: the secret in the address is all that it takes otherwise.
  expect(await ask('POST', `/v1/webhooks/${id}/secret`, {})).toMatchObject({ status: 503 })
  expect(await ask('GET', '/v1/server')).toMatchObject({ status: 200 })
  expect(await ask('POST', '/v1/auth/login', {})).toMatchObject({ status: 200 })
  // Of no operation that is known.
  expect(await ask('DELETE', '/v1/server')).toMatchObject({ status: 503 })

  await maintain(null)
  for (const [method, path] of WRITES) expect(await ask(method, path)).toMatchObject({ status: 200 })
  expect(await ask('POST', `/v1/webhooks/${id}/secret`, {})).toMatchObject({ status: 200 })
})

test('administrators go on, but not with an API token that is for something else', async () => {
  await maintain({ message: null, since, until: null })
  for (const [method, path] of WRITES) expect(await ask(method, path, admin)).toMatchObject({ status: 200 })
  const { token: narrow } = stack.authority.apiToken(admin.userId, ['server.manage'])
  expect(await ask('PATCH', '/v1/server', { token: narrow })).toMatchObject({ status: 503 })
  const { token: wide } = stack.authority.apiToken(admin.userId, ['system.manage'])
  expect(await ask('PATCH', '/v1/server', { token: wide })).toMatchObject({ status: 200 })
  await maintain(null)
})

test('who may not be known is told so before that it is maintenance', async () => {
  await maintain({ message: null, since, until: null })
  expect(await ask('PATCH', '/v1/server', {})).toMatchObject({ status: 401 })
  expect(await ask('PATCH', '/v1/server', { token: 'wrong' })).toMatchObject({ status: 401 })
  await maintain(null)
})

test('frames that change something are refused over a connection that was there before, and are taken again after', async () => {
  const channel = await stack.authority.channel()
  const voice = await stack.authority.channel({ type: 'voice' })
  const { client } = await stack.enter(member.token)
  const boss = (await stack.enter(admin.token)).client
  await maintain({ message: null, since, until: null })
  let asked = 0
  const send = (op: string, fields: object, from = client) => {
    const id = ++asked
    from.send({ op, id, ...fields })
    return from.frame((frame) => frame.op === 'reply' && frame.id === id)
  }
  const message = () => ({ channelId: channel.id, nonce: crypto.randomUUID(), content: 'hello' })
  const refused = { ok: false, error: { code: 'server.maintenance', status: 503, retryAfter: 60 } }
  expect(await send('message.send', message())).toMatchObject(refused)
  expect(await send('read', { channelId: channel.id, seq: 1 })).toMatchObject(refused)
  expect(await send('delivered', { channelId: channel.id, seq: 1 })).toMatchObject(refused)
  expect(
    await send('voice.join', { channelId: voice.id, rtpCapabilities: { codecs: [], headerExtensions: [] } }),
  ).toMatchObject(refused)
  expect(joins).toEqual([])
  expect(await send('heartbeat', {})).toMatchObject({ ok: true })
  expect(await send('typing', { channelId: channel.id })).toMatchObject({ ok: true })
  expect(await send('message.send', message(), boss)).toMatchObject({ ok: true })

  await maintain(null)
  expect(await send('message.send', message())).toMatchObject({ ok: true })
  expect(
    await send('voice.join', { channelId: voice.id, rtpCapabilities: { codecs: [], headerExtensions: [] } }),
  ).toMatchObject({ error: { code: 'internal' } })
  expect(joins).toHaveLength(1)
})

test('a service that is away neither lifts it nor begins it', async () => {
  await using own = await startStack()
  const { token } = await own.authority.member()
  expect(await ask('POST', `/v1/webhooks/${id}/secret`, {}, own)).toMatchObject({ status: 200 })
  own.authority.snapshot.server.maintenance = { message: null, since, until: null }
  await own.authority.changed()
  expect(await ask('PATCH', '/v1/server', { token }, own)).toMatchObject({ status: 503 })
  const port = own.authority.port as { authority: typeof own.authority.port.authority }
  const { authority } = port
  port.authority = () => Promise.reject(new Error('away'))
  own.unannounced(() => {})
  expect(await ask('POST', `/v1/webhooks/${id}/secret`, {}, own)).toMatchObject({
    status: 503,
    body: { code: 'server.maintenance' },
  })
  port.authority = authority
  own.authority.snapshot.server.maintenance = null
  expect(await ask('POST', `/v1/webhooks/${id}/secret`, {}, own)).toMatchObject({ status: 200 })
})

test('what goes on are operations that there are', async () => {
  const document = await Bun.file(new URL('../../../openapi/conntext.json', import.meta.url)).json()
  const known = Object.values<Record<string, { operationId?: string }>>(document.paths).flatMap((item) =>
    Object.values(item).map(({ operationId }) => operationId),
  )
  expect([...GOES_ON].filter((name) => !known.includes(name))).toEqual([])
})

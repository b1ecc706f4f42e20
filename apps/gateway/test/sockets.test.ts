import { afterAll, beforeAll, expect, test } from 'bun:test'
import net from 'node:net'
import { channelStream, closeCodes } from '@conntext/contracts'
import { toProblem } from '@conntext/http'
import { AppError } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { range } from './support/client.ts'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

test('hello comes at once and says what holds', async () => {
  const frames = { perSecond: 200, burst: 800 }
  await using stack = await startStack({ config: { socket: { frames, heartbeatMs: 30_000 } } })
  const client = stack.connect()
  expect(await client.op('hello')).toEqual({
    op: 'hello',
    heartbeatMs: 30_000,
    connectionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    limits: { maxFrameBytes: 524_288, framesPerSecond: 200, identifyMs: 10_000 },
  })
})

test('identify answers ready, and a reply after it when it has an id', async () => {
  await using stack = await startStack()
  const { token } = await stack.authority.member()
  const client = stack.connect()
  await client.op('hello')
  expect(await client.ask({ op: 'identify', token })).toEqual({ op: 'reply', id: 1, ok: true, d: {} })
  expect(client.frames.map((frame) => frame.op)).toEqual(['hello', 'ready', 'reply'])
})

test('who does not identify in time is closed with 4001', async () => {
  await using stack = await startStack({ config: { socket: { identifyMs: 60 } } })
  expect(await stack.connect().code()).toBe(closeCodes.notIdentified)
})

test('a token that is not good is answered with a problem and closed with 4003', async () => {
  await using stack = await startStack()
  const expired = await stack.authority.member({ expiresIn: -10 })
  const revoked = await stack.authority.member()
  await stack.authority.revoke(revoked.sessionId, revoked.userId)
  for (const token of ['nonsense', expired.token, revoked.token]) {
    const client = stack.connect()
    await client.op('hello')
    const { error } = await client.ask({ op: 'identify', token })
    expect(error).toMatchObject({ status: 401, code: 'access.unauthenticated', requestId: expect.any(String) })
    expect(await client.code()).toBe(closeCodes.authenticationFailed)
  }
})

test('a second identify is refused, with a problem where it can be', async () => {
  await using stack = await startStack()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  expect((await client.ask({ op: 'identify', token })).error).toMatchObject({ code: 'gateway.alreadyIdentified' })
  client.send({ op: 'identify', token })
  expect(await client.code()).toBe(closeCodes.malformed)
})

test('before identify nothing else is done', async () => {
  await using stack = await startStack()
  const send = { op: 'message.send', channelId: crypto.randomUUID(), content: 'x' }
  const client = stack.connect()
  await client.op('hello')
  expect((await client.ask(send)).error).toMatchObject({ status: 401, code: 'gateway.notIdentified' })
  expect((await client.ask({ op: 'heartbeat' })).ok).toBe(true)
  client.send(send)
  expect(await client.code()).toBe(closeCodes.authenticationFailed)
})

const deep = `${'{"op":'.repeat(40_000)}1${'}'.repeat(40_000)}`
const malformed: [string, string][] = [
  ['no JSON', '{"op":'],
  ['an array', '[]'],
  ['a number', '1'],
  ['null', 'null'],
  ['nothing', ''],
  ['deep nesting', '['.repeat(200_000)],
  ['deep objects', deep.slice(0, 250_000)],
  [
    'deep nesting within a field',
    `{"op":"message.send","id":1,"content":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  ],
  ['no op', '{"id":1}'],
  ['an unknown op', '{"op":"shutdown","id":1}'],
  ['an op of the prototype', '{"op":"constructor","id":1}'],
  ['a bad id', '{"op":"heartbeat","id":"1"}'],
  ['a negative id', '{"op":"heartbeat","id":-1}'],
  ['an unknown field', '{"op":"heartbeat","id":1,"extra":true}'],
  ['a prototype field', '{"op":"heartbeat","id":1,"__proto__":{}}'],
  ['bad values without an id', '{"op":"message.send","channelId":"no"}'],
]

test('malformed frames close with 4002, and the others notice nothing', async () => {
  await using stack = await startStack()
  const { token } = await stack.authority.member()
  const { client: bystander } = await stack.enter(token)
  for (const [name, frame] of malformed) {
    const { client } = await stack.enter(token)
    client.send(frame)
    expect([name, await client.code()]).toEqual([name, closeCodes.malformed])
  }
  expect((await bystander.ask({ op: 'heartbeat' })).ok).toBe(true)
})

test('values that do not fit are a 422 reply where there is an id', async () => {
  await using stack = await startStack()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const channelId = crypto.randomUUID()
  const bad = [
    { op: 'message.send' },
    { op: 'message.send', channelId: 'no', content: 'x' },
    { op: 'message.send', channelId, content: 'x'.repeat(64_001) },
    { op: 'message.send', channelId, content: 1 },
    { op: 'refresh' },
  ]
  for (const frame of bad) {
    const { error } = await client.ask(frame)
    expect(error).toMatchObject({ status: 422, code: 'gateway.invalidFrame' })
    expect(error.errors.length).toBeGreaterThan(0)
  }
  const cursors = Object.fromEntries(range(0, 8000).map((n) => [`channel:${n}`, 1]))
  expect((await client.ask({ op: 'identify', token, cursors })).error).toMatchObject({ code: 'gateway.invalidFrame' })
})

test('a binary frame closes with 1003, a huge one with 1009', async () => {
  await using stack = await startStack()
  const binary = stack.connect()
  await binary.op('hello')
  binary.socket.send(new Uint8Array([123, 125]))
  expect(await binary.code()).toBe(closeCodes.unsupportedData)
  const huge = stack.connect()
  await huge.op('hello')
  huge.send('x'.repeat(524_289))
  expect(await huge.code()).toBe(closeCodes.tooBig)
  const { token } = await stack.authority.member()
  expect((await stack.enter(token)).ready.op).toBe('ready')
})

test('the largest message in its longest spelling still fits into a frame', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const content = '\\ud83d\\ude00'.repeat(32_000)
  client.send(`{"op":"message.send","id":7,"channelId":"${channel.id}","content":"${content}"}`)
  const reply = await client.frame((frame) => frame.id === 7)
  expect(reply.d.content).toHaveLength(64_000)
})

test('a flood of frames closes with 4007', async () => {
  await using stack = await startStack({ config: { socket: { frames: { perSecond: 5, burst: 20 } } } })
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  for (let i = 0; i < 30; i += 1) client.send({ op: 'heartbeat' })
  expect(await client.code()).toBe(closeCodes.tooManyFrames)
})

test('a missed heartbeat closes with 4009; kept ones keep the connection', async () => {
  await using stack = await startStack({ config: { socket: { heartbeatMs: 500, sweepMs: 10 } } })
  const { token } = await stack.authority.member()
  const kept = await stack.enter(token)
  const beating = setInterval(() => kept.client.send({ op: 'heartbeat' }), 50)
  const silent = await stack.enter(token)
  expect(await silent.client.code()).toBe(closeCodes.heartbeatMissed)
  expect((await kept.client.ask({ op: 'heartbeat' })).ok).toBe(true)
  clearInterval(beating)
})

test('an ended session is closed with 4004, and only that one', async () => {
  await using stack = await startStack()
  const [one, two] = [await stack.authority.member(), await stack.authority.member()]
  const [first, second] = [await stack.enter(one.token), await stack.enter(two.token)]
  await stack.authority.revoke(one.sessionId, one.userId)
  expect(await first.client.code()).toBe(closeCodes.sessionRevoked)
  expect((await second.client.ask({ op: 'heartbeat' })).ok).toBe(true)
})

test('a session that ends while its connection identifies is not let in', async () => {
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  await using stack = await startStack()
  const member = await stack.authority.member()
  const grant = stack.authority.port.grant
  Object.assign(stack.authority.port, {
    async grant(query: { userId: string }) {
      asked.resolve()
      await answer.promise
      return grant(query)
    },
  })
  const client = stack.connect()
  await client.op('hello')
  client.send({ op: 'identify', token: member.token })
  await asked.promise
  await stack.authority.revoke(member.sessionId, member.userId)
  answer.resolve()
  expect([closeCodes.authenticationFailed, closeCodes.sessionRevoked] as number[]).toContain(await client.code())
  expect(client.frames.some((frame) => frame.op === 'ready')).toBe(false)
})

test('an expired token closes with 4003', async () => {
  let later = 0
  await using stack = await startStack({ clock: { now: () => new Date(Date.now() + later) } })
  const { token } = await stack.authority.member({ expiresIn: 60 })
  const { client } = await stack.enter(token)
  later = 61_000
  expect(await client.code()).toBe(closeCodes.authenticationFailed)
})

test("refresh takes the same session's token, nobody else's, and no bad one", async () => {
  await using stack = await startStack()
  const [own, other] = [await stack.authority.member(), await stack.authority.member()]
  const { client } = await stack.enter(own.token)
  expect((await client.ask({ op: 'refresh', token: own.token })).ok).toBe(true)
  for (const token of [other.token, 'nonsense']) {
    expect((await client.ask({ op: 'refresh', token })).error).toMatchObject({ status: 401 })
  }
  expect((await client.ask({ op: 'heartbeat' })).ok).toBe(true)
})

test('message.send is answered with the message, and its event comes to all', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const [one, two] = [await stack.authority.member(), await stack.authority.member()]
  const [sender, reader] = [await stack.enter(one.token), await stack.enter(two.token)]
  const nonce = crypto.randomUUID()
  const reply = await sender.client.ask({ op: 'message.send', channelId: channel.id, content: 'hello', nonce })
  expect(reply.d).toMatchObject({ content: 'hello', nonce, authorId: one.userId, seq: 1 })
  const event = await reader.client.frame((frame) => frame.t === 'message.created')
  expect(event.d).toMatchObject({ id: reply.d.id, content: 'hello' })
})

test('messages sent without waiting keep their order', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  for (let i = 0; i < 30; i += 1) client.send({ op: 'message.send', channelId: channel.id, content: String(i) })
  await eventually(() => client.seqs(channelStream(channel.id)).length === 30)
  const contents = client.frames.filter((frame) => frame.t === 'message.created').map((frame) => frame.d.content)
  expect(contents).toEqual(range(0, 29).map(String))
})

test("messaging's refusals come back as problems, failures as a 500 without its cause", async () => {
  const problem = toProblem(new AppError('channel.notFound', 404, 'No such channel'), 'r')
  const answers = [() => [{ problem }], () => Promise.reject(new Error('secret detail'))]
  await using stack = await startStack({ sendMessages: async () => answers.shift()!() })
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const send = { op: 'message.send', channelId: crypto.randomUUID(), content: 'x' }
  expect((await client.ask(send)).error).toMatchObject({ status: 404, code: 'channel.notFound' })
  const failed = await client.ask(send)
  expect(failed.error).toMatchObject({ status: 500, code: 'internal' })
  expect(JSON.stringify(failed)).not.toContain('secret')
})

test('too many messages are a 429 that says when to come back, over all connections of the account', async () => {
  await using stack = await startStack({ logs, config: { socket: { messages: { perSecond: 0.1, burst: 2 } } } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const [one, two] = [await stack.enter(token), await stack.enter(token)]
  const send = { op: 'message.send', channelId: channel.id, content: 'x' }
  expect((await one.client.ask(send)).ok).toBe(true)
  expect((await two.client.ask(send)).ok).toBe(true)
  const { error } = await one.client.ask(send)
  expect(error).toMatchObject({ status: 429, code: 'request.tooMany' })
  expect(error.retryAfter).toBeWithin(5, 11)
  expect(error.detail).toContain(`${error.retryAfter} s`)
})

test('connections are limited by account and in total', async () => {
  await using stack = await startStack({ config: { socket: { maxConnectionsPerUser: 2, maxConnections: 4 } } })
  const [one, two] = [await stack.authority.member(), await stack.authority.member()]
  await stack.enter(one.token)
  await stack.enter(one.token)
  const third = stack.connect()
  await third.op('hello')
  expect((await third.ask({ op: 'identify', token: one.token })).error).toMatchObject({ status: 429 })
  expect(await third.code()).toBe(closeCodes.tooManyConnections)
  await stack.enter(two.token)
  await stack.enter(two.token)
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  const headers = { ...upgrade, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  const refused = await fetch(`${stack.url}/v1/gateway`, { headers })
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('5')
  expect(await refused.json()).toMatchObject({ code: 'gateway.full' })
})

/** A WebSocket that stops reading: what a client on a dead line is to the server. */
async function deafClient(port: number, token: string) {
  const socket = net.connect(port, '127.0.0.1')
  const received = { text: '', closed: false }
  socket.on('data', (data) => {
    received.text += data.toString('latin1')
  })
  socket.on('close', () => {
    received.closed = true
  })
  socket.on('error', () => {})
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13'
  socket.write(
    `GET /v1/gateway HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}\r\n\r\n`,
  )
  await eventually(() => received.text.includes('"hello"'))
  const payload = Buffer.from(JSON.stringify({ op: 'identify', token }))
  const header = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0])
  socket.write(Buffer.concat([header, payload]))
  await eventually(() => received.text.includes('"ready"'))
  socket.pause()
  return { socket, received }
}

test('a client that does not read is cut off when its queue is full, and memory stays bounded', async () => {
  const socket = { maxBufferedBytes: 1_048_576 }
  await using stack = await startStack({ logs, config: { socket } })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  const { token } = await stack.authority.member()
  const { client } = await stack.enter(token)
  const deaf = await Promise.all(range(1, 10).map(() => deafClient(stack.port, token)))
  const connections = async () => Number(/conntext_gateway_connections (\d+)/.exec(await stack.metrics())?.[1])
  expect(await connections()).toBe(11)
  const before = process.memoryUsage().rss
  for (let i = 0; i < 20; i += 1) await logs.append(stream, Array(20).fill('x'.repeat(25_000)), stack.bus)
  await eventually(() => client.seqs(stream).length === 400)
  await eventually(async () => (await connections()) === 1)
  // Unbounded it would be ten times the ten megabytes that were published.
  expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000)
  expect(client.seqs(stream)).toEqual(range(1, 400))
  for (const one of deaf) one.socket.destroy()
})

test('a client that stays behind for too long is closed with 4008', async () => {
  const socket = { slowBytes: 65_536, slowMs: 50, sweepMs: 10, maxBufferedBytes: 268_435_456 }
  await using stack = await startStack({ logs, config: { socket } })
  const channel = await stack.authority.channel()
  const { token } = await stack.authority.member()
  const deaf = await deafClient(stack.port, token)
  for (let i = 0; i < 10; i += 1) {
    await logs.append(channelStream(channel.id), Array(40).fill('x'.repeat(25_000)), stack.bus)
  }
  await eventually(async () => /connections_closed_total\{code="4008"\} 1/.test(await stack.metrics()))
  deaf.socket.resume()
  await eventually(() => deaf.received.closed)
  // The close frame, with 4008 (0x0fa8), comes after what had been queued.
  expect(deaf.received.text).toContain('\x0f\xa8too slow; resume')
})

test('packed frames go to those who ask for them, the same events to all', async () => {
  await using stack = await startStack({ logs })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  const { token } = await stack.authority.member()
  const packed = await stack.enter(token, undefined, '?compress=1')
  const plain = await stack.enter(token)
  for (let i = 0; i < 20; i += 1) await logs.append(stream, [{ text: 'word '.repeat(200) }], stack.bus)
  await eventually(() => packed.client.seqs(stream).length === 20 && plain.client.seqs(stream).length === 20)
  expect(packed.client.seqs(stream)).toEqual(range(1, 20))
  expect(packed.client.socket.extensions).toContain('permessage-deflate')
})

test('an owner that is away makes identify a problem and a close that says to come back', async () => {
  await using stack = await startStack({
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        streamHeads: async () => {
          throw new AppError('dependency.away', 503, 'away', { retryAfter: 1 })
        },
      },
    }),
  })
  const { token } = await stack.authority.member()
  // Without a channel there is nothing to ask messaging for, and the gateway is not held up.
  const everything = await stack.authority.channel({ name: 'x' })
  expect(everything.name).toBe('x')
  const client = stack.connect()
  await client.op('hello')
  const { error } = await client.ask({ op: 'identify', token })
  expect(error).toMatchObject({ status: 503, code: 'dependency.away', retryAfter: 1 })
  expect(await client.code()).toBe(closeCodes.tryAgainLater)
})

test('stop tells everybody to come back, closes with 1001, and takes nobody new', async () => {
  const stack = await startStack({ logs })
  const { token } = await stack.authority.member()
  const clients = await Promise.all(range(1, 5).map(async () => (await stack.enter(token)).client))
  const began = performance.now()
  await stack.gateway.stop()
  expect(performance.now() - began).toBeLessThan(9_000)
  for (const client of clients) {
    expect(await client.code()).toBe(closeCodes.goingAway)
    expect(client.frames.at(-1)).toEqual({ op: 'reconnect' })
  }
  expect(fetch(`${stack.url}/livez`)).rejects.toThrow()
})

test('at a stop that lingers a crowd is sent away one after the other, and served until then', async () => {
  const stack = await startStack({ logs, config: { lingerMs: 3_000 } })
  const { token } = await stack.authority.member()
  const clients = await Promise.all(range(1, 60).map(async () => (await stack.enter(token)).client))
  const goneAt: number[] = []
  for (const { socket } of clients) socket.addEventListener('close', () => goneAt.push(performance.now()))
  const stopped = stack.gateway.stop()
  await eventually(() => goneAt.length > 0)
  const last = clients.at(-1)!
  expect(await last.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
  await stopped
  expect(Math.max(...goneAt) - Math.min(...goneAt)).toBeGreaterThan(1_500)
  for (const client of clients) {
    expect(await client.code()).toBe(closeCodes.goingAway)
    expect(client.frames.at(-1)).toEqual({ op: 'reconnect' })
  }
})

test('stop ends while somebody identifies and it is not known who may see what', async () => {
  const stack = await startStack()
  const { token } = await stack.authority.member()
  await stack.enter(token)
  let asked = 0
  const { grant } = stack.authority.port
  Object.assign(stack.authority.port, {
    grant(request: Parameters<typeof grant>[0]) {
      asked += 1
      return grant(request)
    },
    async authority() {
      throw new Error('auth is away')
    },
  })
  await stack.authority.changed()
  const newcomer = await stack.authority.member()
  const client = stack.connect()
  await client.op('hello')
  client.send({ op: 'identify', token: newcomer.token })
  await eventually(() => asked > 0)
  await stack.gateway.stop()
  expect(await client.code()).toBe(closeCodes.goingAway)
})

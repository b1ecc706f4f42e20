import { expect, spyOn, test } from 'bun:test'
import { GatewayClient, ProblemError } from '../src/index.ts'
import { event, type Frame, ready, startPeer } from './peer.ts'
import { client, STREAM, until } from './support.ts'

test('comes back with its cursors, and hands on each event once and in order', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: connection === 1 ? 5 : 9 }, connection > 1))
    if (connection === 1) {
      for (const seq of [5, 6, 6, 7]) socket.send(event(STREAM, seq))
      socket.close(1001)
    } else for (const seq of [7, 8, 9, 10]) socket.send(event(STREAM, seq))
  })
  const gateway = client(peer.baseUrl)
  const seqs: unknown[] = []
  gateway.on('event', ({ seq }) => seqs.push(seq))
  await gateway.connect()
  await until(() => seqs.length >= 5)
  expect(seqs).toEqual([6, 7, 8, 9, 10])
  expect(peer.frames.filter(({ op }) => op === 'identify')).toEqual([
    { op: 'identify', token: 'token' },
    { op: 'identify', token: 'token', cursors: { [STREAM]: 7 } },
  ])
  gateway.close()
})

test('a gap makes it come back for what it missed', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 1 }))
    for (const seq of connection === 1 ? [2, 4] : [3, 4]) socket.send(event(STREAM, seq))
  })
  const gateway = client(peer.baseUrl)
  const seqs: unknown[] = []
  gateway.on('event', ({ seq }) => seqs.push(seq))
  await gateway.connect()
  await until(() => seqs.length === 3)
  expect(seqs).toEqual([2, 3, 4])
  gateway.close()
})

test('a send without an answer is sent again after the connection was lost, with the same nonce', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({ [STREAM]: 0 }))
    else if (connection === 1) socket.terminate()
    else socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: { content: 'stored' } }))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  expect(await gateway.send({ channelId: 'a', content: 'x' })).toMatchObject({ content: 'stored' })
  const sends = peer.frames.filter(({ op }) => op === 'message.send')
  expect(sends).toHaveLength(2)
  expect(sends[0]).toEqual(sends[1] as Frame)
  expect(sends[0]!.nonce).toBeString()
  gateway.close()
})

test('a refusal is an error with its code; too many is tried again', async () => {
  const problems = [
    { type: '', title: 'Too many', status: 429, code: 'request.tooMany', requestId: 'r', retryAfter: 0.01 },
    { type: '', title: 'No such channel', status: 404, code: 'channel.notFound', requestId: 'r' },
  ]
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: false, error: problems.shift() }))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const failed = await gateway.send({ channelId: 'a', content: 'x' }).catch((error) => error)
  expect(failed).toBeInstanceOf(ProblemError)
  expect(failed.code).toBe('channel.notFound')
  expect(peer.frames.filter(({ op }) => op === 'message.send')).toHaveLength(2)
  gateway.close()
})

test('an ended session ends it for good: nothing waits for ever', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.close(4004)
  })
  const gateway = client(peer.baseUrl)
  const ends: unknown[] = []
  gateway.on('disconnected', (end) => ends.push(end))
  await gateway.connect()
  await expect(gateway.send({ channelId: 'a', content: 'x' })).rejects.toThrow('4004')
  expect(ends).toEqual([{ code: 4004, final: true }])
  await expect(gateway.send({ channelId: 'a', content: 'x' })).rejects.toThrow('closed')
  expect(peer.connections()).toBe(1)
})

test('a reset sets the cursor anew and says so', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 50 }, true))
    socket.send(JSON.stringify({ op: 'reset', stream: STREAM, seq: 50 }))
    socket.send(event(STREAM, 51))
  })
  const gateway = client(peer.baseUrl)
  const resets: unknown[] = []
  const seqs: unknown[] = []
  gateway.on('reset', ({ stream, seq }) => resets.push([stream, seq]))
  gateway.on('event', ({ seq }) => seqs.push(seq))
  await gateway.connect({ [STREAM]: 3 })
  await until(() => seqs.length === 1)
  expect(resets).toEqual([[STREAM, 50]])
  expect(seqs).toEqual([51])
  expect(gateway.cursors).toEqual({ [STREAM]: 51 })
  gateway.close()
})

test('beats its heart, and takes a server that has gone silent for gone', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
  }, 30)
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  await until(() => peer.connections() > 1)
  expect(peer.frames.some(({ op }) => op === 'heartbeat')).toBe(true)
  gateway.close()
})

test('a burst of sends is no flood: only so many wait for their answer at a time', async () => {
  let unanswered = 0
  let most = 0
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') return void socket.send(ready({}))
    unanswered += 1
    most = Math.max(most, unanswered)
    setTimeout(() => {
      unanswered -= 1
      socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: { content: frame.content } }))
    }, 1)
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const sent = await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => gateway.send({ channelId: 'a', content: `${i}` })),
  )
  expect(sent.map(({ content }) => content)).toEqual(Array.from({ length: 1_000 }, (_, i) => `${i}`))
  expect(most).toBeLessThanOrEqual(100)
  gateway.close()
})

test('what is larger than the server takes fails alone, instead of ending every connection', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: { content: 'stored' } }))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const huge = gateway.send({ channelId: 'a', content: 'é'.repeat(300_000) }).catch((error) => error)
  expect(await gateway.send({ channelId: 'a', content: 'x' })).toMatchObject({ content: 'stored' })
  expect(await huge).toBeInstanceOf(RangeError)
  expect(peer.connections()).toBe(1)
  gateway.close()
})

test('a connection that never becomes ready is given up for another', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify' && connection > 1) socket.send(ready({}))
  })
  const reconnect = { firstMs: 1, longestMs: 20 }
  const gateway = new GatewayClient({ baseUrl: peer.baseUrl, token: async () => 'token', reconnect, connectMs: 500 })
  await gateway.connect()
  expect(peer.connections()).toBeGreaterThan(1)
  gateway.close()
})

test('tokens that are not renewed any more end it for good', async () => {
  const problem = { type: '', title: 'No', status: 401, code: 'session.ended', requestId: 'r' }
  const token = () => Promise.reject(new ProblemError(problem))
  const gateway = new GatewayClient({ baseUrl: 'http://127.0.0.1:1', token })
  await expect(gateway.connect()).rejects.toThrow('4003')
})

test('a token is renewed on the living connection before it runs out', async () => {
  const every = spyOn(globalThis, 'setInterval')
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
  })
  let number = 0
  const gateway = new GatewayClient({ baseUrl: peer.baseUrl, token: async () => `token-${++number}` })
  await gateway.connect()
  // `Api` renews a token in its last half minute: it has to be asked within every such time.
  const timers = every.mock.calls.filter(([, ms]) => ms! < 30_000)
  every.mockRestore()
  for (const [renew] of timers) (renew as () => void)()
  await until(() => peer.frames.some(({ op, token }) => op === 'refresh' && token === 'token-2'))
  gateway.close()
})

test('a channel that is seen no more has no cursor any more', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 3, server: 1 }))
    const d = { channels: [], removed: ['a'] }
    socket.send(JSON.stringify({ op: 'event', t: 'access.changed', stream: 'user', at: '', d }))
  })
  const gateway = client(peer.baseUrl)
  const changed = new Promise<void>((resolve) => void gateway.on('access.changed', () => resolve()))
  await gateway.connect()
  await changed
  expect(gateway.cursors).toEqual({ server: 1 })
  gateway.close()
})

const message = (channelId: string, authorId: string, seq: number) =>
  JSON.stringify({
    op: 'event',
    t: 'message.created',
    stream: `channel:${channelId}`,
    seq,
    at: '',
    d: { channelId, authorId, seq },
  })

test('what others say in conversations is told to have arrived, once for what comes together; nothing else is', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify' || connection > 1) return
    const heads = { 'channel:two': 0, 'channel:group': 4, 'channel:a': 0 }
    socket.send(ready(heads))
    for (const seq of [1, 2, 3]) socket.send(message('two', 'you', seq))
    socket.send(message('group', 'you', 5))
    socket.send(message('group', 'me', 6))
    socket.send(message('a', 'you', 1))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const told = () => peer.frames.filter(({ op }) => op === 'delivered')
  await until(() => told().length === 2)
  expect(told()).toEqual([
    { op: 'delivered', channelId: 'two', seq: 3 },
    { op: 'delivered', channelId: 'group', seq: 5 },
  ])
  gateway.close()
})

test('what could not be told before the connection went is told by the next', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ 'channel:two': 0 }))
    if (connection > 1) return
    socket.send(message('two', 'you', 1))
    socket.close(1001)
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  await until(() => peer.frames.some(({ op }) => op === 'delivered'))
  expect(peer.frames.filter(({ op }) => op === 'delivered')).toEqual([{ op: 'delivered', channelId: 'two', seq: 1 }])
  gateway.close()
})

test('a conversation begins where it is said to begin, and one that was left is forgotten', async () => {
  const tell = (t: string, d: object) => JSON.stringify({ op: 'event', t, stream: 'user', at: '', d })
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ user: 0 }))
    socket.send(tell('conversation.created', { id: 'two', lastSeq: 7 }))
    socket.send(message('two', 'you', 8))
    socket.send(tell('conversation.created', { id: 'left', lastSeq: 3 }))
    socket.send(tell('conversation.removed', { id: 'left' }))
  })
  const gateway = client(peer.baseUrl)
  const seqs: unknown[] = []
  gateway.on('message.created', ({ seq }) => seqs.push(seq))
  const removed = new Promise((resolve) => gateway.on('conversation.removed', resolve))
  await gateway.connect()
  await removed
  expect([seqs, gateway.cursors]).toEqual([[8], { user: 0, 'channel:two': 8 }])
  gateway.close()
})

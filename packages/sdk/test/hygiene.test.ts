import { afterEach, expect, setSystemTime, spyOn, test } from 'bun:test'
import { Api, ProblemError } from '../src/index.ts'
import { ready, startPeer } from './peer.ts'
import { client, tokenOf, until } from './support.ts'

// What an application does not see until it hurts: pauses, timers, duplicates, clocks that jump.

afterEach(() => {
  setSystemTime()
})

const tooMany = (id: unknown, retryAfter: number) =>
  JSON.stringify({
    ...{ op: 'reply', id, ok: false },
    error: { type: '', title: 'Slow mode', status: 429, code: 'message.slowMode', requestId: 'r', retryAfter },
  })

test('who has to wait for long is told so, instead of sending when nobody thinks of it any more', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.send(tooMany(frame.id, frame.content === 'months' ? 5_000_000 : 3_600))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  for (const content of ['hours', 'months']) {
    const failed = await gateway.send({ channelId: 'a', content }).catch((error) => error)
    expect(failed).toBeInstanceOf(ProblemError)
    expect(failed.code).toBe('message.slowMode')
  }
  expect(peer.frames.filter(({ op }) => op === 'message.send')).toHaveLength(2)
  gateway.close()
})

test('a client that is closed leaves no timer behind', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.send(tooMany(frame.id, 5))
  })
  const set = spyOn(globalThis, 'setTimeout')
  const clear = spyOn(globalThis, 'clearTimeout')
  try {
    const gateway = client(peer.baseUrl)
    await gateway.connect()
    const sent = gateway.send({ channelId: 'a', content: 'x' }).catch(() => {})
    const isPause = (ms: unknown) => typeof ms === 'number' && ms >= 5_000 && ms < 10_000
    await until(() => set.mock.calls.some(([, ms]) => isPause(ms)))
    const timer = set.mock.results[set.mock.calls.findIndex(([, ms]) => isPause(ms))]!.value
    gateway.close()
    await sent
    expect(clear.mock.calls.some(([cleared]) => cleared === timer)).toBe(true)
  } finally {
    set.mockRestore()
    clear.mockRestore()
  }
})

test('a listener that is given twice is two: ending one leaves the other', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
  })
  const gateway = client(peer.baseUrl)
  let called = 0
  const listener = () => {
    called += 1
  }
  gateway.on('ready', listener)
  gateway.on('ready', listener)()
  await gateway.connect()
  await until(() => called > 0)
  expect(called).toBe(1)
  gateway.close()
})

test('messages can be sent from a page that came without TLS', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: {} }))
  })
  const { randomUUID } = crypto
  // There it does not exist.
  Object.assign(crypto, { randomUUID: undefined })
  try {
    const gateway = client(peer.baseUrl)
    await gateway.connect()
    await gateway.send({ channelId: 'a', content: 'x' })
    await gateway.send({ channelId: 'a', content: 'x' })
    gateway.close()
  } finally {
    Object.assign(crypto, { randomUUID })
  }
  const nonces = peer.frames.flatMap(({ nonce }) => (typeof nonce === 'string' ? [nonce] : []))
  expect(new Set(nonces).size).toBe(2)
  expect(nonces[0]!.length).toBeWithin(16, 65)
})

test('who says nothing is given up also after the clock has been put back', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({}))
    if (connection === 1 && frame.op === 'identify') setSystemTime(new Date(Date.now() - 3_600_000))
  }, 20)
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  await until(() => peer.connections() > 1)
  gateway.close()
})

test('a refresh token that was refused is not shown again and again', async () => {
  let asked = 0
  const problem = { type: '', title: 'No', status: 401, code: 'auth.refused', requestId: 'r' }
  const fetch = (async () => {
    asked += 1
    return Response.json(problem, { status: 401, headers: { 'content-type': 'application/problem+json' } })
  }) as unknown as typeof globalThis.fetch
  const past = new Date(Date.now() - 1_000).toISOString()
  const tokens = { accessToken: tokenOf(1), accessTokenExpiresAt: past, refreshTokenExpiresAt: past }
  const api = new Api({ baseUrl: 'http://localhost', fetch, tokens: { ...tokens, refreshToken: 'old' } })
  for (let i = 0; i < 3; i += 1) {
    const failed = await api.accessToken().catch((error) => error)
    expect([failed instanceof ProblemError, failed.code]).toEqual([true, 'auth.refused'])
  }
  expect(asked).toBe(1)
  api.use({ ...tokens, refreshToken: 'new' })
  await api.refresh().catch(() => {})
  expect(asked).toBe(2)
})

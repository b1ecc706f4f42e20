import { expect, test } from 'bun:test'
import { channelStream, eventFrame } from '@conntext/contracts'
import { ConfigError, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import fc from 'fast-check'
import { gatewayDefaults, readGatewayConfig } from '../src/config.ts'
import { addressKey, createAddressReader } from '../src/http/address.ts'
import { boundBody } from '../src/http/body.ts'
import { compileOperations } from '../src/http/operations.ts'
import { destinationOf } from '../src/http/routing.ts'
import { RateLimiter } from '../src/rate-limit.ts'
import { parseFrame } from '../src/sockets/frames.ts'
import { FrameRing } from '../src/streams/ring.ts'
import { openGate, Sequencer } from '../src/streams/sequencer.ts'
import { range } from './support/client.ts'

test('the environment sets up a gateway, and every fault is named at once', () => {
  expect(readGatewayConfig({})).toEqual(gatewayDefaults)
  const config = readGatewayConfig({
    CONNTEXT_PORT: '9000',
    CONNTEXT_CORS_ORIGINS: 'https://a.example, https://b.example',
    CONNTEXT_RATE_ACCOUNT: '0',
  })
  expect(config.port).toBe(9000)
  expect(config.corsOrigins).toEqual(['https://a.example', 'https://b.example'])
  expect(config.rates.account.perSecond).toBe(0)
  expect(readGatewayConfig({ CONNTEXT_CORS_ORIGINS: 'none' }).corsOrigins).toEqual([])
  expect(() => readGatewayConfig({ CONNTEXT_PORT: 'x', CONNTEXT_CORS_ORIGINS: 'ftp://x' })).toThrow(ConfigError)
})

test('an IPv6 customer is limited by their /64, however the address is written', () => {
  expect(addressKey('2001:db8:1:2::1')).toBe(addressKey('2001:0db8:0001:0002:ffff:ffff:ffff:ffff'))
  expect(addressKey('2001:db8:1:2::1')).not.toBe(addressKey('2001:db8:1:3::1'))
  expect(addressKey('::1')).toBe('0:0:0:0')
  expect(addressKey('fe80::1')).toBe('fe80:0:0:0')
  expect(addressKey('192.0.2.1')).toBe('192.0.2.1')
})

test('an address is plain, whatever the socket or a proxy calls it', () => {
  const clientAddress = (socket: string | undefined, forwarded: string | null, hops: number) =>
    createAddressReader(hops)(socket, new Headers(forwarded === null ? {} : { 'x-forwarded-for': forwarded }))
  expect(clientAddress('::ffff:192.0.2.1', null, 0)).toBe('192.0.2.1')
  expect(clientAddress('192.0.2.1', '198.51.100.2:4711', 1)).toBe('198.51.100.2')
  expect(clientAddress('192.0.2.1', '6.6.6.6', 0)).toBe('192.0.2.1')
  expect(clientAddress('192.0.2.1', '', 1)).toBe('192.0.2.1')
  expect(clientAddress(undefined, null, 0)).toBe('unknown')
})

test('what lies under a channel goes to whoever owns that part', () => {
  const channel = '/v1/channels/0190'
  const expected = {
    '/v1/channels': 'system',
    [channel]: 'system',
    [`${channel}/`]: 'system',
    [`${channel}/overrides/1`]: 'system',
    [`${channel}/messages`]: 'messaging',
    [`${channel}/messages/1/reactions/x`]: 'messaging',
    [`${channel}/read`]: 'messaging',
    [`${channel}/call`]: 'realtime',
    [`${channel}/call/participants/1/mute`]: 'realtime',
    '/v1/calls': 'messaging',
    '/.well-known/jwks.json': 'auth',
    '/docs/x': 'gateway',
    '/verify-email': 'gateway',
    '/reset-password': 'gateway',
  }
  for (const [path, service] of Object.entries(expected))
    expect([path, destinationOf(path)]).toEqual([path, service] as never)
  for (const path of [
    '/v1/constructor',
    '/v1/__proto__',
    '/docsx',
    '/metrics/x',
    '/verify-email/x',
    '/a/reset-password',
  ])
    expect(destinationOf(path)).toBeUndefined()
})

test('operations are found as the services’ routers find them', () => {
  const find = compileOperations({
    security: [{ bearer: [] }],
    paths: {
      '/v1/users/@me': { get: { operationId: 'getOwnUser' } },
      '/v1/users/{userId}': { delete: {} },
      '/v1/users/{id}': { get: { security: [] }, patch: {} },
      '/v1/a/{x}/c': { get: {} },
      '/v1/a/b/{y}': { post: {} },
      '/v1/optional': { get: { security: [{ bearer: [] }, {}] } },
    },
  })
  expect(find('/v1/users/@me').get('GET')).toEqual({ id: 'getOwnUser', public: false })
  expect(find('/v1/users/7').get('GET')).toMatchObject({ public: true })
  expect([...find('/v1/users/7').keys()]).toEqual(['DELETE', 'GET', 'PATCH'])
  expect(find('/v1/a/b/c').has('POST')).toBe(true)
  expect(find('/v1/a/x/c').has('GET')).toBe(true)
  expect(find('/v1/optional').get('GET')).toMatchObject({ public: true })
  for (const path of ['/v1/users', '/v1/users/', '/v1/users/7/8', '/', '']) expect(find(path).size).toBe(0)
})

test('a token bucket gives its burst, then its rate, and forgets the quiet ones first', () => {
  let now = 0
  const limiter = new RateLimiter({ perSecond: 10, burst: 2 }, 2, () => now)
  expect([1, 2, 3].map(() => limiter.take('a')!.allowed)).toEqual([true, true, false])
  now += 100
  expect([1, 2].map(() => limiter.take('a')!.allowed)).toEqual([true, false])
  now += 60_000
  expect(limiter.take('a')).toEqual({ allowed: true, limit: 2, remaining: 1, reset: 1, retryAfter: 0 })
  limiter.take('b')
  limiter.take('a')
  limiter.take('c')
  expect(limiter.size).toBe(2)
  expect(limiter.take('a')!.remaining).toBe(0)
  expect(new RateLimiter({ perSecond: 0, burst: 0 }, 2).take('a')).toBeUndefined()
})

test('a ring gives back exactly what it still has', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 0, max: 100 }),
      fc.nat(110),
      (capacity, count, after) => {
        const ring = new FrameRing(capacity)
        for (const seq of range(1, count)) ring.push(seq, String(seq), seq)
        const frames = ring.after(after)?.map(({ seq }) => seq)
        const oldest = Math.max(1, count - capacity + 1)
        if (count === 0 || after + 1 < oldest) expect(frames).toBeUndefined()
        else expect(frames).toEqual(range(after + 1, count))
      },
    ),
  )
})

test('news in any order, any number of times, with a gate that opens and closes, comes out once and in order', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('news' as const), seq: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ do: fc.constantFrom('close' as const, 'open' as const), seq: fc.constant(0) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const gate = { closed: false }
      const out: string[] = []
      const whileClosed: string[] = []
      const log = range(1, 40).map((seq) => ({ seq, frame: String(seq) }))
      const sequencer = new Sequencer({
        stream: 's',
        gate,
        source: {
          heads: async () => new Map([['s', 40]]),
          events: async (_, after) => ({ events: log.slice(after, after + 7), truncated: false }),
        },
        log: silentLogger,
        ringFrames: 8,
        gapWaitMs: 0,
        deliver: (frame) => (gate.closed ? whileClosed : out).push(frame),
        reset: () => out.push('reset'),
        repaired: () => {},
      })
      sequencer.start(0)
      for (const { do: what, seq } of steps) {
        if (what === 'news') sequencer.receive(seq, String(seq))
        else gate.closed = what === 'close'
        if (what === 'open') sequencer.flush()
        if (seq % 5 === 0) await Promise.resolve()
      }
      gate.closed = false
      sequencer.expect(40, 0)
      await eventually(() => sequencer.head === 40)
      expect(out).toEqual(range(1, 40).map(String))
      expect(whileClosed).toEqual([])
    }),
    { numRuns: 200 },
  )
}, 30_000)

test('a client may name a cursor for every channel and conversation of theirs, but not any number', () => {
  const identify = (channels: number) => {
    const cursors = Object.fromEntries(range(1, channels).map((n) => [channelStream(`${n}`), n]))
    return parseFrame(JSON.stringify({ op: 'identify', token: 't', cursors: { ...cursors, server: 1, user: 1 } })).kind
  }
  expect(identify(5_000)).toBe('frame')
  expect(identify(8_000)).toBe('malformed')
})

test('what was deleted is no longer kept in memory: whoever comes back gets what the log still tells', () => {
  const sequencer = new Sequencer({
    stream: 'channel:a',
    gate: openGate,
    source: { heads: async () => new Map(), events: async () => ({ events: [], truncated: false }) },
    log: silentLogger,
    ringFrames: 8,
    gapWaitMs: 0,
    deliver() {},
    reset() {},
    repaired() {},
  })
  const frame = (seq: number, type: string) => eventFrame('channel:a', type, seq, '2026-01-01T00:00:00.000Z', '{}')
  sequencer.start(0)
  sequencer.receive(1, frame(1, 'message.created'))
  sequencer.receive(2, frame(2, 'message.created'))
  expect(sequencer.ring.after(0)).toHaveLength(2)
  sequencer.receive(3, frame(3, 'message.deleted'))
  sequencer.receive(4, frame(4, 'message.created'))
  expect(sequencer.ring.after(0)).toBeUndefined()
  expect(sequencer.ring.after(2)?.map(({ seq }) => seq)).toEqual([3, 4])
})

test('a body that breaks off is the client’s going away, not our failure', async () => {
  const body = new ReadableStream({
    pull(controller) {
      controller.error(new DOMException('The connection was closed.', 'AbortError'))
    },
  })
  const request = new Request('http://localhost/v1/auth/login', { method: 'POST', body })
  await expect(boundBody(request, 1_000)).rejects.toMatchObject({ code: 'request.unparsable', status: 400 })
})

import { describe, expect, test } from 'bun:test'
import { GatewayClient } from '../src/index.ts'
import { event, ready, startPeer } from './peer.ts'
import { client, STREAM, until } from './support.ts'

const RECONNECT = '{"op":"reconnect"}'

test('a server that drains sends its clients on at once, to the other one, with their cursors', async () => {
  using second = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 2 }, true))
    socket.send(event(STREAM, 2))
  })
  using first = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 0 }))
    socket.send(event(STREAM, 1))
    socket.send(RECONNECT)
    socket.close(1001)
  })
  const gateway = client([first.baseUrl, second.baseUrl])
  const seqs: unknown[] = []
  const ends: unknown[] = []
  gateway.on('event', ({ seq }) => seqs.push(seq))
  gateway.on('disconnected', (end) => ends.push(end))
  await gateway.connect()
  await until(() => seqs.length === 2)
  expect(seqs).toEqual([1, 2])
  expect(second.frames[0]).toEqual({ op: 'identify', token: 'token', cursors: { [STREAM]: 1 } })
  expect(ends).toEqual([{ code: 1001, final: false }])
  gateway.close()
})

test('a crowd that is sent on does not come back in one moment', async () => {
  const arrivals: number[] = []
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    socket.send(ready({}))
    if (connection <= 40) socket.send(RECONNECT)
    else arrivals.push(performance.now())
  })
  const crowd = Array.from({ length: 40 }, () => client(peer.baseUrl, { reconnect: { firstMs: 200, longestMs: 400 } }))
  for (const one of crowd) void one.connect()
  await until(() => arrivals.length === 40)
  expect(Math.max(...arrivals) - Math.min(...arrivals)).toBeGreaterThan(50)
  for (const one of crowd) one.close()
})

test('a send that is under way when the server drains is answered once, by the next connection', async () => {
  let stored = 0
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else if (frame.op === 'message.send') {
      stored += 1
      if (connection === 1) socket.send(RECONNECT)
      else socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: { nonce: frame.nonce } }))
    }
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const { nonce } = await gateway.send({ channelId: 'a', content: 'x' })
  expect([stored, nonce]).toEqual([2, peer.frames.find(({ op }) => op === 'message.send')!.nonce as string])
  gateway.close()
})

test('a gap that comes again and again is no reason to hammer at the server', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 1 }, true))
    socket.send(event(STREAM, 9))
  })
  const gateway = client(peer.baseUrl, { reconnect: { firstMs: 20, longestMs: 60_000 } })
  const seqs: unknown[] = []
  gateway.on('event', ({ seq }) => seqs.push(seq))
  const began = performance.now()
  await gateway.connect({ [STREAM]: 1 })
  await Bun.sleep(400)
  const took = performance.now() - began
  // 10 to 20, 20 to 40, 40 to 80 … milliseconds.
  expect(peer.connections()).toBeLessThanOrEqual(1 + Math.log2(took / 10 + 1))
  expect(seqs).toEqual([])
  gateway.close()
})

test('whoever was told to come later does so later than after a mere loss', async () => {
  for (const [code, longer] of [
    [1001, false],
    [4007, true],
    [4010, true],
    [1013, true],
  ] as const) {
    const at: number[] = []
    using peer = startPeer((frame, socket) => {
      if (frame.op !== 'identify') return
      at.push(performance.now())
      socket.send(ready({}))
      if (at.length === 1) socket.close(code)
    })
    const gateway = client(peer.baseUrl, { reconnect: { firstMs: 20, longestMs: 1_000 } })
    void gateway.connect()
    await until(() => at.length === 2)
    if (longer) expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(79)
    gateway.close()
  }
})

test('what coming back would not mend ends it', async () => {
  for (const code of [1003, 1009, 4002, 4004]) {
    using peer = startPeer((frame, socket) => {
      if (frame.op === 'identify') socket.close(code)
    })
    const gateway = client(peer.baseUrl)
    await expect(gateway.connect()).rejects.toThrow(`${code}`)
    expect(peer.connections()).toBe(1)
  }
})

test('the network being back ends a pause', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    socket.send(ready({}))
    if (connection === 1) socket.close(1001)
  })
  const gateway = client(peer.baseUrl, { reconnect: { firstMs: 60_000, longestMs: 60_000 } })
  const gone = new Promise((resolve) => gateway.on('disconnected', resolve))
  await gateway.connect()
  await gone
  globalThis.dispatchEvent(new Event('online'))
  await until(() => peer.connections() === 2)
  gateway.close()
})

test('how one is there is said again by each connection, and read marks are repeated until they are answered', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else if (connection === 1 && frame.op === 'read') socket.terminate()
    else if (frame.id) socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d: { lastReadSeq: 3 } }))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  await gateway.setPresence({ status: 'idle' })
  expect(await gateway.read({ channelId: 'a', seq: 3 })).toMatchObject({ lastReadSeq: 3 })
  gateway.typing('a')
  await until(() => peer.frames.some(({ op }) => op === 'typing'))
  expect(peer.frames.filter(({ op }) => op === 'identify')).toEqual([
    { op: 'identify', token: 'token' },
    { op: 'identify', token: 'token', presence: { status: 'idle' } },
  ])
  gateway.close()
})

describe('what cannot be connected at all', () => {
  test('is said at once', async () => {
    await expect(client('no address').connect()).rejects.toThrow()
    const none = class {
      constructor() {
        throw new Error('not here')
      }
    } as unknown as typeof WebSocket
    await expect(client('http://localhost', { WebSocket: none }).connect()).rejects.toThrow('not here')
  })

  test('is given up when it is closed, and connects once', async () => {
    const gateway = client('http://127.0.0.1:1')
    const connecting = gateway.connect()
    gateway.close()
    await expect(connecting).rejects.toThrow('closed')
    await expect(gateway.connect()).rejects.toThrow('once')
    expect(gateway).toBeInstanceOf(GatewayClient)
  })
})

describe('a server that speaks nonsense', () => {
  const nonsense = {
    'no JSON': '{',
    nothing: '',
    null: 'null',
    'a hello without limits': '{"op":"hello","heartbeatMs":1}',
    'a ready without anything': '{"op":"ready"}',
    'an event of another shape': JSON.stringify({ op: 'event', t: 'access.changed', stream: 'user', at: '', d: null }),
    'a refusal without a problem': '{"op":"reply","id":1,"ok":false}',
  }
  for (const [name, frame] of Object.entries(nonsense)) {
    test(`is left for another connection: ${name}`, async () => {
      using peer = startPeer((asked, socket, connection) => {
        if (connection === 1) socket.send(frame)
        else if (asked.op === 'identify') socket.send(ready({}))
        else socket.send(JSON.stringify({ op: 'reply', id: asked.id, ok: true, d: { content: 'stored' } }))
        if (connection === 1 && asked.op === 'identify') socket.send(ready({}))
      })
      const gateway = client(peer.baseUrl)
      void gateway.connect()
      expect(await gateway.send({ channelId: 'a', content: 'x' })).toMatchObject({ content: 'stored' })
      expect(peer.connections()).toBe(2)
      gateway.close()
    })
  }

  test('is not minded where it is only unknown: a newer server', async () => {
    using peer = startPeer((frame, socket) => {
      if (frame.op !== 'identify') return
      socket.send('{"op":"novelty","x":1}')
      socket.send(ready({ [STREAM]: 0 }))
      socket.send(JSON.stringify({ op: 'event', t: 'future.happened', stream: STREAM, seq: 1, at: '', d: 7 }))
      socket.send(event(STREAM, 2))
    })
    const gateway = client(peer.baseUrl)
    const types: string[] = []
    gateway.on('event', ({ t }) => types.push(t))
    await gateway.connect()
    await until(() => types.length === 2)
    expect([types, peer.connections()]).toEqual([['future.happened', 'message.created'], 1])
    gateway.close()
  })
})

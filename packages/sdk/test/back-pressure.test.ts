import { expect, test } from 'bun:test'
import { Inbox } from '../src/gateway/inbox.ts'
import { event, ready, startPeer } from './peer.ts'
import { client, STREAM, until } from './support.ts'

test('a listener that takes its time gets one event at a time, in order, whatever kind it listens to', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 0 }, true))
    for (let seq = 1; seq <= 20; seq++) socket.send(event(STREAM, seq))
    socket.send(JSON.stringify({ op: 'reset', stream: STREAM, seq: 40 }))
    socket.send(event(STREAM, 41))
  })
  const gateway = client(peer.baseUrl)
  const seen: string[] = []
  let atOnce = 0
  const slowly = (what: string) => async () => {
    atOnce += 1
    expect(atOnce).toBe(1)
    await Bun.sleep(1)
    atOnce -= 1
    seen.push(what)
  }
  gateway.on('ready', slowly('ready'))
  gateway.on('message.created', ({ seq }) => slowly(`${seq}`)())
  gateway.on('reset', slowly('reset'))
  await gateway.connect()
  await until(() => seen.length === 23)
  expect(seen).toEqual(['ready', ...Array.from({ length: 20 }, (_, i) => `${i + 1}`), 'reset', '41'])
  gateway.close()
})

test('beyond what may wait the connection is let go, and what was missed is fetched from the cursors: once each', async () => {
  const last = 400
  let mostOpen = 0
  let open = 0
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    const cursor = (frame.cursors as Record<string, number> | undefined)?.[STREAM] ?? 0
    socket.send(ready({ [STREAM]: cursor === 0 ? 0 : last }, cursor > 0))
    for (let seq = cursor + 1; seq <= last; seq++) socket.send(event(STREAM, seq))
  })
  const gateway = client(peer.baseUrl, { maxWaiting: 50 })
  const seqs: number[] = []
  const codes: number[] = []
  gateway.on('disconnected', ({ code }) => codes.push(code))
  gateway.on('message.created', async ({ seq }) => {
    open += 1
    mostOpen = Math.max(mostOpen, open)
    await Bun.sleep(0)
    open -= 1
    seqs.push(seq)
  })
  await gateway.connect()
  await until(() => seqs.length >= last)
  expect(seqs).toEqual(Array.from({ length: last }, (_, i) => i + 1))
  expect(mostOpen).toBe(1)
  expect(codes.length).toBeGreaterThan(1)
  expect(codes.every((code) => code === 4008)).toBe(true)
  // Each connection brought at least as much as may wait.
  expect(peer.connections()).toBeLessThanOrEqual(last / 50 + 1)
  gateway.close()
})

test('what a listener is still at is not yet among the cursors for a later client', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    socket.send(ready({ [STREAM]: 4 }))
    socket.send(event(STREAM, 5))
  })
  const gateway = client(peer.baseUrl)
  const begun = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  gateway.on('message.created', () => {
    begun.resolve()
    return done.promise
  })
  await gateway.connect()
  await begun.promise
  expect(gateway.cursors).toEqual({ [STREAM]: 4 })
  done.resolve()
  await until(() => gateway.cursors[STREAM] === 5)
  gateway.close()
})

test('a connection that goes while a listener is at work: the event that it has comes no second time', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op !== 'identify') return
    const cursor = (frame.cursors as Record<string, number> | undefined)?.[STREAM] ?? 0
    socket.send(ready({ [STREAM]: connection === 1 ? 0 : 3 }, connection > 1))
    for (let seq = cursor + 1; seq <= 3; seq++) socket.send(event(STREAM, seq))
    if (connection === 1) socket.close(1001)
  })
  const gateway = client(peer.baseUrl)
  const seqs: number[] = []
  gateway.on('message.created', async ({ seq }) => {
    seqs.push(seq)
    if (seq === 1) await until(() => peer.connections() > 1)
  })
  await gateway.connect()
  await until(() => seqs.length === 3)
  expect(seqs).toEqual([1, 2, 3])
  expect(peer.frames.filter(({ op }) => op === 'identify').map(({ cursors }) => cursors)).toEqual([
    undefined,
    { [STREAM]: 1 },
  ])
  gateway.close()
})

test('an inbox forgets what it has handed over, and takes no more than its limit', async () => {
  const handed: number[] = []
  let go = Promise.withResolvers<void>()
  const inbox = new Inbox<number>((item) => {
    handed.push(item)
    return go.promise
  }, 3)
  expect([1, 2, 3, 4, 5].map((item) => inbox.push(item))).toEqual([true, true, true, true, false])
  const before = go
  go = Promise.withResolvers()
  before.resolve()
  await until(() => handed.length === 2)
  expect([inbox.push(6), inbox.push(7)]).toEqual([true, false])
  inbox.clear()
  expect(inbox.push(8)).toBe(true)
  go.resolve()
  await inbox.idle()
  expect(handed).toEqual([1, 2, 8])
})

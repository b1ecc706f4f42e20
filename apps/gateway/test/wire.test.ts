import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { channelStream, closeCodes } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { range } from './support/client.ts'
import { openRaw } from './support/raw-socket.ts'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

const OFFER = 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'

describe('the handshake', () => {
  test('agrees on permessage-deflate where it is offered, and packs only for those who ask', async () => {
    await using stack = await startStack({ logs })
    await stack.authority.channel()
    const { token } = await stack.authority.member()
    const seen = await Promise.all(
      [
        { query: '?compress=1', headers: [OFFER] },
        { query: '', headers: [OFFER] },
        { query: '?compress=1', headers: [] },
      ].map(async (options) => {
        const raw = await openRaw(stack.port, options)
        await raw.frame('hello')
        raw.send({ op: 'identify', token })
        const ready = (await raw.frame('ready'))!
        raw.socket.destroy()
        const agreed = /^sec-websocket-extensions: permessage-deflate/im.test(raw.response())
        return { agreed, packed: ready.packed, smaller: ready.bytes < ready.payload.length }
      }),
    )
    expect(seen).toEqual([
      { agreed: true, packed: true, smaller: true },
      { agreed: true, packed: false, smaller: false },
      { agreed: false, packed: false, smaller: false },
    ])
  })

  test('agrees on no packing where it is turned off', async () => {
    await using stack = await startStack({ config: { socket: { compression: false } } })
    const raw = await openRaw(stack.port, { query: '?compress=1', headers: [OFFER] })
    expect((await raw.frame('hello'))!.packed).toBe(false)
    expect(raw.response()).not.toMatch(/permessage-deflate/i)
    raw.socket.destroy()
  })

  test('echoes the first subprotocol to those who insist on one, and names none otherwise', async () => {
    await using stack = await startStack()
    const some = await openRaw(stack.port, { headers: ['Sec-WebSocket-Protocol: chat, other'] })
    expect(some.response()).toMatch(/^sec-websocket-protocol: chat\r?$/im)
    const none = await openRaw(stack.port)
    expect(none.response()).not.toMatch(/sec-websocket-protocol/i)
    for (const raw of [some, none]) raw.socket.destroy()
  })
})

test('who was closed with 4008 comes back with what it had, and has lost nothing', async () => {
  const socket = { slowBytes: 65_536, slowMs: 50, sweepMs: 10, maxBufferedBytes: 268_435_456 }
  await using stack = await startStack({ logs, config: { socket, streams: { ringFrames: 16 } } })
  const channel = await stack.authority.channel()
  const stream = channelStream(channel.id)
  const { token } = await stack.authority.member()
  const slow = await openRaw(stack.port)
  await slow.frame('hello')
  slow.send({ op: 'identify', token })
  await slow.frame('ready')
  slow.socket.pause()
  for (let i = 0; i < 10; i += 1) await logs.append(stream, Array(40).fill('x'.repeat(25_000)), stack.bus)
  await eventually(async () => /connections_closed_total\{code="4008"\} 1/.test(await stack.metrics()))
  // What is said while it is away.
  await logs.append(stream, Array(10).fill('later'), stack.bus)
  slow.socket.resume()
  expect(await slow.code()).toBe(closeCodes.tooSlow)
  const had: number[] = slow.parsed().flatMap((frame) => (frame.stream === stream ? [frame.seq] : []))
  const { client } = await stack.enter(token, { [stream]: had.at(-1) ?? 0 })
  await eventually(() => client.seqs(stream).at(-1) === 410)
  expect([...had, ...client.seqs(stream)]).toEqual(range(1, 410))
}, 30_000)

import { expect, test } from 'bun:test'
import { ProblemError } from '../src/index.ts'
import { type Frame, ready, startPeer } from './peer.ts'
import { client, until } from './support.ts'

const told = (frames: Frame[], op: string) => frames.filter((frame) => frame.op === op)
const problem = (status: number) => ({ type: '', title: 'No', status, code: 'request.invalid', requestId: 'r' })
const succeed = ({ id }: Frame) => JSON.stringify({ op: 'reply', id, ok: true, d: { userId: 'me' } })
const fail = ({ id }: Frame, status: number) => JSON.stringify({ op: 'reply', id, ok: false, error: problem(status) })

test('how one wants to be seen is said from the first moment on, and again after each reconnect', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else if (frame.op === 'presence') socket.send(succeed(frame))
    else if (connection === 1) socket.close(1001)
  })
  const gateway = client(peer.baseUrl)
  const first = gateway.setPresence({ status: 'invisible' })
  await gateway.connect()
  expect(await first).toMatchObject({ userId: 'me' })
  await gateway.setPresence({ customStatus: { text: 'here' } })
  gateway.typing('a')
  await until(() => told(peer.frames, 'identify').length === 2)
  expect(told(peer.frames, 'identify').map((frame) => frame.presence)).toEqual([
    { status: 'invisible' },
    { status: 'invisible', customStatus: { text: 'here' } },
  ])
  gateway.close()
})

test('what the server refuses is not said again', async () => {
  using peer = startPeer((frame, socket, connection) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else if (frame.op === 'presence') socket.send(frame.status === 'dnd' ? succeed(frame) : fail(frame, 422))
    else if (connection === 1) socket.close(1001)
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  await gateway.setPresence({ status: 'dnd' })
  const refused = await gateway.setPresence({ status: 'idle', customStatus: { text: '\n' } }).catch((error) => error)
  expect(refused).toBeInstanceOf(ProblemError)
  gateway.typing('a')
  await until(() => told(peer.frames, 'identify').length === 2)
  expect(told(peer.frames, 'identify')[1]!.presence).toEqual({ status: 'dnd' })
  gateway.close()
})

test('what is chosen while an answer is waited for is said once, and the last choice holds', async () => {
  const waiting: (() => void)[] = []
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else waiting.push(() => socket.send(succeed(frame)))
  })
  const gateway = client(peer.baseUrl)
  await gateway.connect()
  const answers = [
    gateway.setPresence({ status: 'idle' }),
    gateway.setPresence({ status: 'online' }),
    gateway.setPresence({ status: 'dnd' }),
    gateway.setPresence({ customStatus: null }),
  ]
  await until(() => waiting.length === 1)
  waiting[0]!()
  await until(() => waiting.length === 2)
  waiting[1]!()
  await Promise.all(answers)
  expect(told(peer.frames, 'presence').map(({ id: _, op: __, ...choice }) => choice)).toEqual([
    { status: 'idle' },
    { status: 'dnd', customStatus: null },
  ])
  gateway.close()
})

test('typing is said now and then, and anew after a message', async () => {
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
    else if (frame.op === 'message.send') socket.send(succeed(frame))
  })
  const gateway = client(peer.baseUrl)
  gateway.typing('a')
  await gateway.connect()
  for (let key = 0; key < 20; key += 1) gateway.typing('a')
  gateway.typing('b')
  await gateway.send({ channelId: 'a', content: 'there' })
  gateway.typing('a')
  await until(() => told(peer.frames, 'typing').length === 3)
  expect(told(peer.frames, 'typing').map((frame) => frame.channelId)).toEqual(['a', 'b', 'a'])
  gateway.close()
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import {
  Api,
  createChannel,
  endSession,
  login,
  logout,
  register,
  removeOverride,
  setOverride,
  unwrap,
  updateMember,
} from '@conntext/sdk'
import { type Deployment, eventually, SETUP_CODE, startDeployment, startServerProcess } from '@conntext/testing'
import { gather, type Person } from './conversation/people.ts'
import { wholeHistory } from './conversation/scenario.ts'
import { connect, enter, type Reply, Socket } from './websocket/client.ts'

// How long a stranger may stay without identifying is ten seconds here: the gateway's own tests try it with less.

let server: Deployment
let scene: Awaited<ReturnType<typeof gather>>
let rssBefore: Map<string, number>

/** Of each process, in MB. */
const residentSets = (): Map<string, number> =>
  new Map(
    server.processes.map(({ name, pid }) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      return [name, Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024]
    }),
  )

beforeAll(async () => {
  // Far below what the floods send, whatever the defaults are.
  server = await startDeployment({
    CONNTEXT_RATE_MESSAGES: '50',
    CONNTEXT_RATE_MESSAGES_BURST: '300',
    CONNTEXT_RATE_FRAMES: '200',
    CONNTEXT_RATE_FRAMES_BURST: '1000',
  })
  scene = await gather(server.url, SETUP_CODE)
  rssBefore = residentSets()
}, 120_000)

afterAll(async () => {
  scene?.owner.gateway.close()
  scene?.member.gateway.close()
  await server?.[Symbol.asyncDispose]()
}, 60_000)

const tokenOf = ({ api }: Person) => api.accessToken()
const asMember = async () => enter(server.url, await tokenOf(scene.member))
const NOBODY = '01800000-0000-7000-8000-000000000000'
const MEGABYTE = 1_048_576

describe('what is no frame', () => {
  const deep = '['.repeat(100_000)
  const nonsense: [string, unknown, number[]][] = [
    ['bytes', new Uint8Array([1, 2, 3]), [1003]],
    ['a frame of 5 MB', 'x'.repeat(5 * MEGABYTE), [1009, 1006]],
    ['nothing', '', [4002]],
    ['a broken text', '{"op":"heartbeat"', [4002]],
    ['an array', '[]', [4002]],
    ['null', 'null', [4002]],
    ['deep arrays', deep, [4002]],
    ['a deep value', `{"op":"message.send","id":1,"content":${deep}${']'.repeat(100_000)}}`, [4002]],
    ['an unknown op', { op: 'shutdown', id: 1 }, [4002]],
    ['an op of the prototype', { op: 'toString', id: 1 }, [4002]],
    ['an op that is no text', { op: 1, id: 1 }, [4002]],
    ['an unknown field', { op: 'heartbeat', id: 1, admin: true }, [4002]],
    ['a prototype', '{"op":"heartbeat","id":1,"__proto__":{"admin":true}}', [4002]],
    ['an id that is no number', { op: 'heartbeat', id: '1' }, [4002]],
    ['a huge id', '{"op":"heartbeat","id":1e400}', [4002]],
    ['wrong values without an id', { op: 'message.send', channelId: 1, content: [] }, [4002]],
  ]

  test.each(nonsense)('%s closes the connection, before identifying and after', async (_, frame, codes) => {
    for (const socket of [await connect(server.url), await asMember()]) {
      socket.send(frame)
      expect(codes).toContain(await socket.code())
    }
  })

  test('a frame may be as large as hello says, and no larger', async () => {
    const filled = (bytes: number) => {
      const frame = { op: 'message.send', id: 1, channelId: NOBODY, content: '' }
      return JSON.stringify({ ...frame, content: 'x'.repeat(bytes - JSON.stringify(frame).length) })
    }
    const socket = await asMember()
    const { limits } = (await socket.seen(({ op }) => op === 'hello')) as unknown as {
      limits: { maxFrameBytes: number }
    }
    socket.send(filled(limits.maxFrameBytes))
    expect(await socket.seen(({ op }) => op === 'reply')).toMatchObject({ ok: false, error: { status: 422 } })
    socket.send(filled(limits.maxFrameBytes + 1))
    expect([1009, 1006]).toContain(await socket.code())
  })

  test.each([
    { channelId: 1, content: 'x' },
    { channelId: 'nope', content: 'x' },
    { channelId: NOBODY, content: { a: 1 } },
    { channelId: NOBODY },
    { channelId: NOBODY, content: 'x', nonce: '' },
    { channelId: NOBODY, content: 'x', mediaIds: ['nope'] },
    { channelId: NOBODY, content: 'x', replyTo: 7 },
  ])('%j is told to be wrong, and the connection goes on', async (fields) => {
    const socket = await asMember()
    const reply = await socket.ask({ op: 'message.send', ...fields })
    expect(reply).toMatchObject({ ok: false, error: { status: 422, code: 'gateway.invalidFrame' } })
    expect(await socket.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    socket.close()
  })
})

describe('who is not let in', () => {
  test.each(['', 'garbage', 'a.b.c', 'x'.repeat(4096)])('a token of nonsense: 4003', async (token) => {
    const socket = await connect(server.url)
    socket.send({ op: 'identify', token })
    expect(await socket.code()).toBe(4003)
  })

  test("another server's token: 4003", async () => {
    await using other = await startServerProcess()
    const api = new Api({ baseUrl: other.url })
    const body = { username: 'olga', password: 'a long enough password', setupCode: SETUP_CODE }
    const { accessToken } = await unwrap(register({ client: api.client, body }))
    const socket = await connect(server.url)
    socket.send({ op: 'identify', id: 1, token: accessToken })
    expect(await socket.code()).toBe(4003)
    expect(socket.frames.find(({ op }) => op === 'reply')).toMatchObject({ ok: false, error: { status: 401 } })
  }, 60_000)

  test('whoever has not identified can do nothing', async () => {
    const socket = await connect(server.url)
    const send = { op: 'message.send', channelId: scene.channel.id, content: 'x' }
    expect(await socket.ask(send)).toMatchObject({ ok: false, error: { status: 401 } })
    socket.send(send)
    expect(await socket.code()).toBe(4003)
  })

  test('nobody identifies twice', async () => {
    const socket = await asMember()
    const token = await tokenOf(scene.owner)
    expect(await socket.ask({ op: 'identify', token })).toMatchObject({ ok: false, error: { status: 409 } })
    expect(socket.frames.filter(({ op }) => op === 'ready')).toHaveLength(1)
    expect(await socket.ask({ op: 'refresh', token })).toMatchObject({ ok: false, error: { status: 401 } })
    socket.send({ op: 'identify', token })
    expect(await socket.code()).toBe(4002)
  })

  test('cursors of nonsense are no way to what one may not see', async () => {
    const hidden = await hiddenChannel()
    const socket = await connect(server.url)
    const cursors = { [`channel:${hidden.id}`]: 0, [`channel:${NOBODY}`]: 5, 'user:1': 0, nonsense: 1 }
    socket.send({ op: 'identify', token: await tokenOf(scene.member), cursors })
    const ready = await socket.seen(({ op }) => op === 'ready')
    expect(Object.keys(ready.streams as object)).not.toContain(`channel:${hidden.id}`)
    expect(await socket.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    expect(JSON.stringify(socket.frames)).not.toContain(hidden.id)
    socket.close()
  })
})

/** A channel that the role of the member sees, or nobody but the owner. */
async function hiddenChannel(roleId?: string) {
  const { client } = scene.owner.api
  const channel = await unwrap(createChannel({ client, body: { name: crypto.randomUUID(), type: 'text' } }))
  const override = (targetId: string, body: { allow: 'channel.view'[]; deny: 'channel.view'[] }) =>
    unwrap(setOverride({ client, path: { channelId: channel.id, targetId }, body }))
  await override(await everyoneId(), { allow: [], deny: ['channel.view'] })
  if (roleId) await override(roleId, { allow: ['channel.view'], deny: [] })
  return channel
}

async function everyoneId(): Promise<string> {
  const response = await fetch(`${server.url}/v1/roles`, {
    headers: { authorization: `Bearer ${await tokenOf(scene.owner)}` },
  })
  const { items } = (await response.json()) as { items: { id: string; isEveryone: boolean }[] }
  return items.find((one) => one.isEveryone)!.id
}

const refusalOf = ({ ok, error }: Reply) => ({ ok, ...error, requestId: undefined })

describe('what somebody may not', () => {
  test('a hidden channel and none at all are refused alike', async () => {
    const hidden = await hiddenChannel()
    const socket = await asMember()
    const answers = []
    for (const channelId of [hidden.id, NOBODY]) {
      answers.push(refusalOf(await socket.ask({ op: 'message.send', channelId, content: 'x' })))
    }
    expect(answers[0]).toEqual(answers[1]!)
    expect(answers[0]).toMatchObject({ ok: false, status: 404, code: 'channel.notFound' })
    socket.close()
  })

  test('a role that is taken away takes its channels along, at once', async () => {
    const { owner, member, role, channel } = scene
    const hidden = await hiddenChannel(role.id)
    const socket = await asMember()
    const said = await owner.gateway.send({ channelId: hidden.id, content: 'before' })
    await socket.seen((one) => one.t === 'message.created' && (one.d as { id: string }).id === said.id)

    const roles = (roleIds: string[]) =>
      unwrap(updateMember({ client: owner.api.client, path: { id: member.id }, body: { roleIds } }))
    await roles([])
    const sending = { op: 'message.send', channelId: hidden.id, content: 'x' }
    expect(refusalOf(await socket.ask(sending))).toMatchObject({ status: 404, code: 'channel.notFound' })
    await owner.gateway.send({ channelId: hidden.id, content: 'after' })
    // Sent later in a channel that is still seen: once it is there, the other one would have been.
    const marker = await owner.gateway.send({ channelId: channel.id, content: 'marker' })
    await socket.seen((one) => one.t === 'message.created' && (one.d as { id: string }).id === marker.id)
    expect(socket.events('access.changed')).toMatchObject([{ stream: 'user', d: { removed: [hidden.id] } }])
    expect(socket.events('message.created', `channel:${hidden.id}`)).toHaveLength(1)

    await roles([role.id])
    await socket.seen((one) => one.t === 'access.changed' && JSON.stringify(one).includes('"removed":[]'))
    expect(await socket.ask(sending)).toMatchObject({ ok: true })
    socket.close()
  }, 30_000)

  test('a channel that is denied is gone, at once, and comes back', async () => {
    const { owner, member, channel } = scene
    const { client } = owner.api
    const open = await unwrap(createChannel({ client, body: { name: crypto.randomUUID(), type: 'text' } }))
    const socket = await asMember()
    const path = { channelId: open.id, targetId: member.id }
    const sending = { op: 'message.send', channelId: open.id, content: 'x' }
    expect(await socket.ask(sending)).toMatchObject({ ok: true })
    await unwrap(setOverride({ client, path, body: { allow: [], deny: ['channel.view'] } }))
    expect(refusalOf(await socket.ask(sending))).toMatchObject({ status: 404, code: 'channel.notFound' })
    await owner.gateway.send({ channelId: open.id, content: 'unseen' })
    const marker = await owner.gateway.send({ channelId: channel.id, content: 'marker' })
    await socket.seen((one) => one.t === 'message.created' && (one.d as { id: string }).id === marker.id)
    expect(JSON.stringify(socket.frames)).not.toContain('unseen')
    expect(socket.events('access.changed')).toMatchObject([{ d: { removed: [open.id] } }])
    await removeOverride({ client, path, throwOnError: true })
    expect(await socket.ask(sending)).toMatchObject({ ok: true })
    socket.close()
  }, 30_000)

  test('a session that is ended takes its connections along, and no others', async () => {
    const { member } = scene
    const body = { login: member.name, password: 'a long enough password' }
    const tokens = async () => {
      const answer = await unwrap(login({ client: new Api({ baseUrl: server.url }).client, body }))
      if ('mfaRequired' in answer) throw new Error('a second factor is asked for')
      return answer
    }
    const [first, second] = [await tokens(), await tokens()]
    const sockets = await Promise.all([first, first, second].map(({ accessToken }) => enter(server.url, accessToken)))
    const bystander = await asMember()
    const path = { id: first.session.id }
    await endSession({ client: member.api.client, path, throwOnError: true })
    expect([await sockets[0]!.code(), await sockets[1]!.code()]).toEqual([4004, 4004])
    expect(await sockets[2]!.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    await logout({ client: new Api({ baseUrl: server.url, tokens: second }).client, throwOnError: true })
    expect(await sockets[2]!.code()).toBe(4004)
    expect(await bystander.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    const late = await connect(server.url)
    late.send({ op: 'identify', token: first.accessToken })
    expect(await late.code()).toBe(4003)
    bystander.close()
  }, 30_000)
})

describe('too much', () => {
  test('a flood of frames ends its connection, and no other', async () => {
    const [flooder, bystander] = [await asMember(), await asMember()]
    for (let i = 0; i < 3_000; i += 1) flooder.send('{"op":"heartbeat"}')
    expect(await flooder.code()).toBe(4007)
    expect(await bystander.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    bystander.close()
  })

  test('a flood of messages is slowed down, and none is lost or doubled', async () => {
    const { owner, member } = scene
    const { client } = owner.api
    const channel = await unwrap(createChannel({ client, body: { name: crypto.randomUUID(), type: 'text' } }))
    // The account's allowance is used up over another connection: the client has to wait and try again.
    const hog = await asMember()
    for (let i = 0; i < 500; i += 1) hog.send({ op: 'message.send', id: i, channelId: channel.id, content: `hog ${i}` })
    const texts = Array.from({ length: 150 }, (_, i) => `flood ${i}`)
    const sent = await Promise.all(texts.map((content) => member.gateway.send({ channelId: channel.id, content })))
    await eventually(() => hog.frames.filter(({ op }) => op === 'reply').length === 500)
    const refused = hog.frames.filter((one) => one.op === 'reply' && one.ok === false)
    const history = (await wholeHistory(member, channel.id)).map(({ content }) => content)
    expect(history.filter((text) => text.startsWith('flood')).sort()).toEqual([...texts].sort())
    expect(new Set(sent.map(({ id }) => id)).size).toBe(texts.length)
    expect(history.filter((text) => text.startsWith('hog'))).toHaveLength(500 - refused.length)
    hog.close()
  }, 60_000)

  test('a flood of messages over one connection is answered with 429, never with silence', async () => {
    const socket = await asMember()
    for (let id = 0; id < 700; id += 1) {
      socket.send({ op: 'message.send', id, channelId: scene.channel.id, content: `burst ${id}` })
    }
    const replies = () => socket.frames.filter(({ op }) => op === 'reply') as unknown as Reply[]
    await eventually(() => replies().length === 700, 30_000)
    const refused = replies().filter(({ ok }) => !ok)
    expect(refused.length).toBeGreaterThan(0)
    for (const { error } of refused) {
      expect(error).toMatchObject({ status: 429, code: 'request.tooMany', retryAfter: expect.any(Number) })
    }
    socket.close()
  }, 60_000)

  test('two hundred that come and go at once leave nothing behind', async () => {
    const token = await tokenOf(scene.member)
    const before = await openConnections()
    for (let round = 0; round < 3; round += 1) {
      const sockets = Array.from({ length: 200 }, () => new Socket(server.url))
      await Promise.all(sockets.slice(0, 150).map((socket) => socket.seen(({ op }) => op === 'hello')))
      for (const socket of sockets.slice(0, 100)) socket.send({ op: 'identify', token })
      await Promise.all(sockets.slice(0, 50).map((socket) => socket.seen(({ op }) => op === 'ready')))
      for (const socket of sockets) socket.terminate()
    }
    await eventually(async () => (await openConnections()) <= before, 20_000)
    const socket = await asMember()
    expect(await socket.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    socket.close()
  }, 60_000)
})

/** As the gateways themselves count them. */
async function openConnections(): Promise<number> {
  const headers = { authorization: `Bearer ${await tokenOf(scene.owner)}` }
  const counts = server.gateways.map(async (url) => {
    const figures = await (await fetch(`${url}/metrics`, { headers })).text()
    return Number(/^conntext_gateway_connections(?:\{.*\})? (\d+)$/m.exec(figures)![1])
  })
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

test('the processes are the same, ready, calm, and no larger than they should be', async () => {
  for (const url of server.gateways) expect((await fetch(`${url}/readyz`)).status).toBe(200)
  expect(server.output().match(/"level":"(error|fatal)".*/g) ?? []).toEqual([])
  for (const [name, megabytes] of residentSets()) expect(megabytes - rssBefore.get(name)!).toBeLessThan(300)
})

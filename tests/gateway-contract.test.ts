import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Api } from '@conntext/sdk'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { receive, send } from '@conntext/testing/media'
import fc from 'fast-check'
import { ageMessages } from './asyncapi/ageing.ts'
import { fitting, mutated } from './asyncapi/arbitrary.ts'
import { clientOps, eventTypes, faultsOf, type Json, messages, serverOps } from './asyncapi/document.ts'
import { Recorder } from './asyncapi/recorder.ts'
import { apiAt, PASSWORD, type Person } from './http.ts'
import { gets, join, signallingOf, workersOf } from './voice/socket.ts'
import { connect, enter, type Socket } from './websocket/client.ts'

let server: Deployment
let olga: Person
let maxim: Person

beforeAll(async () => {
  server = await startDeployment({ CONNTEXT_RATE_FRAMES: '0', CONNTEXT_RATE_CREDENTIALS: '0' })
  olga = await register('olga', { setupCode: SETUP_CODE })
  await call(olga, 'PATCH', 'server', { registrationMode: 'open' })
  maxim = await register('maxim')
}, 120_000)

afterAll(() => server?.[Symbol.asyncDispose](), 60_000)

const { call, register } = apiAt(() => server.url)

async function listen(person: Person, cursors?: Record<string, number>): Promise<Recorder> {
  const recorder = new Recorder(server.url)
  await recorder.seen(({ op }) => op === 'hello')
  expect(await recorder.ask({ op: 'identify', token: person.token, ...(cursors ? { cursors } : {}) })).toMatchObject({
    ok: true,
  })
  return recorder
}

// biome-ignore lint/suspicious/noExplicitAny: what ops are answered with, looked at as a client sees it
type Answer = any

/** What happens in channels, to messages. */
async function converse(socket: Recorder, channelId: string): Promise<void> {
  const base = `channels/${channelId}/messages`
  const { d } = (await socket.ask({ op: 'message.send', channelId, content: 'Hello @everyone' })) as Answer
  await call(maxim, 'POST', base, { content: 'Good morning', replyTo: d.id })
  await call(olga, 'PATCH', `${base}/${d.id}`, { content: 'Hello, all' })
  await call(olga, 'PUT', `${base}/${d.id}/pin`)
  await call(olga, 'DELETE', `${base}/${d.id}/pin`)
  await call(olga, 'PUT', `${base}/${d.id}/reactions/${encodeURIComponent('👍')}`)
  await call(maxim, 'PUT', `${base}/${d.id}/reactions/${encodeURIComponent('👍')}`)
  await call(olga, 'DELETE', `${base}/${d.id}/reactions/${encodeURIComponent('👍')}`)
  await call(olga, 'DELETE', `${base}/${d.id}/reactions`)
  expect(await socket.ask({ op: 'read', channelId, seq: d.seq })).toMatchObject({ ok: true })
  expect(await socket.ask({ op: 'typing', channelId })).toMatchObject({ ok: true })
  await call(olga, 'DELETE', `${base}/${d.id}`)
}

/** What is made, changed and taken away on a server. */
async function govern(): Promise<void> {
  const { id } = await call(olga, 'POST', 'channels', { name: 'harbour', type: 'text' })
  await call(olga, 'PATCH', `channels/${id}`, { topic: 'Ships' })
  const roles = (await call(olga, 'GET', 'roles')).items as { id: string; isEveryone: boolean }[]
  const everyone = roles.find((role) => role.isEveryone)!.id
  await call(olga, 'PUT', `channels/${id}/overrides/${everyone}`, { allow: [], deny: ['channel.view'] })
  // Now on its own stream.
  await call(olga, 'PATCH', `channels/${id}`, { topic: 'Boats' })
  await call(olga, 'DELETE', `channels/${id}/overrides/${everyone}`)
  await call(olga, 'DELETE', `channels/${id}`)
  await call(olga, 'PATCH', 'server', { description: 'A quiet place' })
  const role = await call(olga, 'POST', 'roles', { name: 'Pilots', permissions: ['message.pin'] })
  await call(olga, 'PATCH', `roles/${role.id}`, { colour: '#00aaff' })
  await call(olga, 'PUT', `members/${maxim.id}/roles/${role.id}`)
  await call(olga, 'DELETE', `roles/${role.id}`)
}

/** Accounts that come, change and go. */
async function mingle(): Promise<void> {
  const guest = await register(`guest-${crypto.randomUUID().slice(0, 8)}`)
  await call(guest, 'PATCH', 'users/@me', { displayName: 'A guest', status: { text: 'Passing by' } })
  await call(olga, 'POST', `members/${guest.id}/kick`)
  const again = await call(undefined, 'POST', 'auth/login', { login: 'maxim', password: PASSWORD })
  await call({ id: maxim.id, token: again.accessToken }, 'POST', 'auth/logout')
  await call(maxim, 'PUT', `blocks/${olga.id}`)
  await call(maxim, 'DELETE', `blocks/${olga.id}`)
  await call(maxim, 'PATCH', 'dms/settings', { dmsFrom: 'nobody' })
  await call(maxim, 'PATCH', 'dms/settings', { dmsFrom: 'everyone' })
}

/** Direct messages and groups. */
async function whisper(socket: Recorder): Promise<void> {
  const { id } = await call(olga, 'POST', 'dms', { userIds: [maxim.id], name: 'The crew' })
  const { seq } = await call(olga, 'POST', `channels/${id}/messages`, { content: 'psst' })
  await socket.seen((frame) => frame.t === 'message.created' && (frame.d as Json).channelId === id)
  expect(await socket.ask({ op: 'delivered', channelId: id, seq })).toMatchObject({ ok: true })
  await socket.seen(({ t }) => t === 'delivery.updated')
  await call(olga, 'PATCH', `dms/${id}`, { name: 'The old crew' })
  await call(olga, 'DELETE', `dms/${id}/participants/${maxim.id}`)
  const two = await call(olga, 'POST', 'dms', { userIds: [maxim.id] })
  await call(olga, 'DELETE', `dms/${two.id}`)
  await call(olga, 'POST', 'dms', { userIds: [maxim.id] })
}

/** A call in a conversation, which the other one declines. */
async function ring(caller: Recorder, called: Recorder): Promise<void> {
  const { id: channelId } = await call(olga, 'POST', 'dms', { userIds: [maxim.id] })
  // Calls begin once the media worker is there.
  const join = () => caller.ask({ op: 'voice.join', channelId, rtpCapabilities: { codecs: [] } })
  await eventually(async () => (await join()).ok, 30_000)
  await called.seen(({ t }) => t === 'voice.ringing')
  await call(maxim, 'POST', `channels/${channelId}/call/decline`)
  for (const one of [caller, called]) await one.seen(({ t }) => t === 'voice.ringingStopped')
  expect(await caller.ask({ op: 'voice.leave' })).toMatchObject({ ok: true })
}

/** A call in a channel, in which everything happens that can. */
async function speak(one: Recorder, two: Recorder): Promise<void> {
  const lounge = await call(olga, 'POST', 'channels', { name: 'lounge', type: 'voice' })
  const stage = await call(olga, 'POST', 'channels', { name: 'stage', type: 'voice' })
  await join(one, lounge.id)
  await join(two, lounge.id)
  const sending = await send(signallingOf(one))
  const receiving = await receive(signallingOf(two), sending.producerIds)
  await two.seen(({ t }) => t === 'voice.producerAdded')
  await two.seen(({ t }) => t === 'voice.activeSpeakers')
  const consumerId = receiving.consumers[1]!.id
  await gets(two, { op: 'voice.setPreferredLayers', consumerId, spatialLayer: 0 })
  await gets(two, { op: 'voice.pause', consumerId })
  await one.seen(({ t }) => t === 'voice.producerWatched')
  await gets(two, { op: 'voice.resume', consumerId })
  await gets(two, { op: 'voice.restartIce', transportId: receiving.transport.id })
  expect((await gets(two, { op: 'voice.stats' })).streams).not.toEqual([])
  await gets(one, { op: 'voice.pause', producerId: sending.producerIds[0] })
  await two.seen(({ t }) => t === 'voice.producerUpdated')
  await two.seen(({ t }) => t === 'voice.updated')
  await gets(one, { op: 'voice.closeProducer', producerId: sending.producerIds[0] })
  await two.seen(({ t }) => t === 'voice.producerRemoved')
  const participant = `channels/${lounge.id}/call/participants/${maxim.id}`
  await call(olga, 'POST', `${participant}/move`, { channelId: stage.id })
  await two.seen(({ t }) => t === 'voice.moved')
  await join(two, lounge.id)
  await call(olga, 'POST', `${participant}/disconnect`)
  await two.seen(({ t, d }) => t === 'voice.ended' && (d as Json).channelId === lounge.id)
  for (const end of [sending, receiving]) end.close()
  const [worker] = workersOf(server.processes)
  process.kill(worker!, 'SIGKILL')
  await one.seen(({ t }) => t === 'voice.interrupted')
  await gets(one, { op: 'voice.leave' })
  await two.seen(({ t, d }) => t === 'voice.left' && (d as Json).userId === olga.id)
}

describe('whatever a server sends is as its document has it', () => {
  test('in a session in which everything happens', async () => {
    const channel = await call(olga, 'POST', 'channels', { name: 'square', type: 'text' })
    const recorders = [await listen(olga), await listen(maxim)]
    const [one, two] = recorders as [Recorder, Recorder]
    const seen = new Set<string>()
    const look = () => {
      for (const recorder of recorders) {
        const { names, faults } = recorder.look()
        expect(faults).toEqual([])
        for (const name of names) seen.add(name)
      }
    }
    const refused = { op: 'message.send', channelId: channel.id, content: '' }
    expect(await one.ask(refused)).toMatchObject({ ok: false })
    expect(await one.ask({ op: 'heartbeat' })).toMatchObject({ ok: true })
    expect(await one.ask({ op: 'refresh', token: olga.token })).toMatchObject({ ok: true })
    expect(await one.ask({ op: 'presence', status: 'idle' })).toMatchObject({ ok: true })
    await converse(one, channel.id)
    await govern()
    await mingle()
    await whisper(two)
    await ring(one, two)
    await speak(one, two)
    const cursors = { server: 1, user: 0, [`channel:${channel.id}`]: 1, 'channel:none': 4 }
    recorders.push(await listen(maxim, { ...cursors, server: 999_999 }))

    // What was said three days ago goes from a channel that keeps it for one.
    const before = recorders.length
    await call(olga, 'POST', `channels/${channel.id}/messages`, { content: 'old' })
    await call(olga, 'PATCH', `channels/${channel.id}`, { messageRetentionDays: 1 })
    const wanted = eventTypes.filter((type) => type !== 'messages.expired')
    await eventually(() => {
      look()
      return wanted.every((type) => seen.has(type)) || undefined
    }).catch(() => {})
    expect(wanted.filter((type) => !seen.has(type))).toEqual([])
    await server.kill('SIGTERM')
    for (const recorder of recorders) await recorder.code()
    look()
    await ageMessages(server, 3)
    await server.restart()
    recorders.push(await listen(olga, { [`channel:${channel.id}`]: 0 }))
    await recorders[before]!.seen(({ t, op }) => t === 'messages.expired' || op === 'reset')
    await call(olga, 'GET', 'server')
    look()

    const everything = [...serverOps, ...eventTypes, ...clientOps.map((op) => `reply.${op}`), 'reply.refused']
    expect(everything.filter((name) => !seen.has(name))).toEqual([])
  }, 120_000)
})

const INVALID = 'gateway.invalidFrame'

/** What becomes of a frame: the code of a refusal, the code that the connection was closed with, or nothing to object. */
async function outcomeOf(socket: Socket, frame: Json): Promise<string | number> {
  const already = socket.frames.length
  const closing = socket.code().catch(() => 0)
  socket.send(JSON.stringify(frame))
  const reply = socket
    .seen((one) => one.op === 'reply', already)
    .then((one) => (one.error as { code: string } | undefined)?.code ?? 'done')
    .catch(() => closing)
  return Promise.race([closing, reply])
}

describe('whatever a client sends', () => {
  let socket: Socket
  // All of them together take longer than a token lives, where the machine is busy.
  let api: Api

  beforeAll(async () => {
    const known = new Api({ baseUrl: server.url })
    known.use(await call(undefined, 'POST', 'auth/login', { login: 'maxim', password: PASSWORD }))
    api = known
  })

  /** Nobody may be identified yet where that is what is tried. */
  const fresh = async (op: string) => {
    const same = socket?.open && op !== 'identify'
    if (!same) {
      socket?.close()
      socket = op === 'identify' ? await connect(server.url) : await enter(server.url, await api.accessToken())
    }
    return socket
  }

  test.each(clientOps)(
    'is taken for a frame where it fits the document, and only there: %s',
    async (op) => {
      const { payload } = messages[op]!
      await fc.assert(
        fc.asyncProperty(fitting(payload), async (frame) => {
          expect(faultsOf(op, frame)).toEqual([])
          const outcome = await outcomeOf(await fresh(op), { ...(frame as Json), id: 1 })
          expect([INVALID, 4002]).not.toContain(outcome)
        }),
        { numRuns: 30 },
      )
      await fc.assert(
        fc.asyncProperty(
          mutated(payload).filter((frame) => faultsOf(op, frame).length > 0),
          async (frame) => {
            expect([INVALID, 4002]).toContain(await outcomeOf(await fresh(op), frame))
          },
        ),
        { numRuns: 60 },
      )
    },
    60_000,
  )
})

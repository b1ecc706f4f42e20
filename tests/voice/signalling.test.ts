import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type Deployment, eventually, SETUP_CODE, startDeployment, topology } from '@conntext/testing'
import { receive, send } from '@conntext/testing/media'
import { canSplit, type Split, startSplit } from '@conntext/testing/split'
import { apiAt } from '../http.ts'
import { enter, type Socket } from '../websocket/client.ts'
import { gets, join, signallingOf, workersOf } from './socket.ts'

type State = { userId: string; channelId: string; selfMuted: boolean }
type Json = Record<string, unknown>

/** An owner and two members, and a voice channel. */
async function gather(url: string) {
  const { call, register } = apiAt(() => url)
  const olga = await register('olga', { setupCode: SETUP_CODE })
  await call(olga, 'PATCH', 'server', { registrationMode: 'open' })
  const [maxim, clara] = [await register('maxim'), await register('clara')]
  const { id } = await call<{ id: string }>(olga, 'POST', 'channels', { name: 'lounge', type: 'voice' })
  return { olga, maxim, clara, channelId: id }
}

const tells =
  (type: string, fits: (data: Json) => boolean = () => true) =>
  ({ t, d }: { t?: string; d?: unknown }) =>
    t === type && fits(d as Json)

/** Who is in which call, as a client makes it of `ready` and what it has heard since. */
function inCalls({ frames }: Socket): Map<string, State> {
  const { voiceStates } = frames.find(({ op }) => op === 'ready') as unknown as { voiceStates: State[] }
  const states = new Map(voiceStates.map((state) => [state.userId, state]))
  for (const { t, d } of frames) {
    const state = d as State
    if (t === 'voice.joined' || t === 'voice.updated') states.set(state.userId, state)
    if (t === 'voice.left') states.delete(state.userId)
  }
  return states
}

describe('calls over the gateway', () => {
  let server: Deployment
  let people: Awaited<ReturnType<typeof gather>>

  beforeAll(async () => {
    server = await startDeployment({ CONNTEXT_RATE_CREDENTIALS: '0' })
    people = await gather(server.url)
  }, 180_000)
  afterAll(() => server?.[Symbol.asyncDispose](), 60_000)

  test('one joins at one gateway, another hears and sees it at another', async () => {
    const { olga, maxim, clara, channelId } = people
    const [first, last] = [server.gateways[0]!, server.gateways.at(-1)!]
    const [one, two, watcher] = [
      await enter(first, olga.token),
      await enter(last, maxim.token),
      await enter(last, clara.token),
    ]
    await join(one, channelId)
    await watcher.seen(tells('voice.joined', ({ userId }) => userId === olga.id))
    const { states } = await join(two, channelId)
    expect(states.map(({ userId }: State) => userId).toSorted()).toEqual([olga.id, maxim.id].toSorted())
    const sending = await send(signallingOf(one), ['audio'])
    const [producerId] = sending.producerIds
    await two.seen(tells('voice.producerAdded', ({ producer }) => (producer as Json).id === producerId))
    const receiving = await receive(signallingOf(two), sending.producerIds)
    await receiving.gets(producerId!)
    await two.seen(tells('voice.activeSpeakers', ({ speakers }) => (speakers as Json[])[0]?.userId === olga.id))
    await eventually(() => inCalls(watcher).get(olga.id)?.selfMuted === false)
    expect(watcher.frames.filter(tells('voice.producerAdded'))).toEqual([])
    const late = await enter(first, clara.token)
    // It may not have heard yet what the other gateway has told.
    await eventually(() => Bun.deepEquals(inCalls(late), inCalls(watcher)))
    await gets(two, { op: 'voice.leave' })
    await gets(one, { op: 'voice.leave' })
    await eventually(() => inCalls(watcher).size === 0 && inCalls(late).size === 0)
    for (const end of [sending, receiving]) end.close()
    for (const socket of [one, two, watcher, late]) socket.close()
  }, 60_000)

  test('a killed media worker: who was on it is told, and is in the call again within seconds', async () => {
    const { olga, maxim, channelId } = people
    const [one, two] = [await enter(server.url, olga.token), await enter(server.url, maxim.token)]
    const { participantId } = await join(one, channelId)
    await join(two, channelId)
    for (const worker of workersOf(server.processes)) process.kill(worker, 'SIGKILL')
    await one.seen(tells('voice.interrupted', ({ media }) => media === false))
    expect(await join(one, channelId, participantId)).toMatchObject({ resumed: true, kept: { transports: [] } })
    expect(two.frames.filter(tells('voice.left', ({ userId }) => userId === olga.id))).toEqual([])
    for (const socket of [one, two]) socket.close()
  }, 60_000)
})

// These are apart already: once is enough.
const possible = topology === 'all-in-one' && (await canSplit())

describe.skipIf(!possible)('processes of calls that are killed', () => {
  let split: Split
  let people: Awaited<ReturnType<typeof gather>>

  beforeAll(async () => {
    split = await startSplit({ realtime: 2, messaging: 1, env: { CONNTEXT_RATE_CREDENTIALS: '0' } })
    people = await gather(split.urls[0]!)
  }, 180_000)
  afterAll(() => split?.[Symbol.asyncDispose](), 60_000)

  test('a gateway: media goes on, and signalling at the other one, as if nothing had been', async () => {
    const { olga, maxim, clara, channelId } = people
    const [first, second] = split.urls as [string, string]
    const [one, two, silent] = [
      await enter(first, olga.token),
      await enter(second, maxim.token),
      await enter(first, clara.token),
    ]
    const { participantId } = await join(one, channelId)
    await join(two, channelId)
    await join(silent, channelId)
    const sending = await send(signallingOf(one), ['audio'])
    const [producerId] = sending.producerIds
    const receiving = await receive(signallingOf(two), sending.producerIds)
    await receiving.gets(producerId!)
    await eventually(() => inCalls(two).size === 3)
    const told = two.frames.length
    await split.gateways[0]!.kill('SIGKILL')
    await receiving.gets(producerId!)
    const back = await enter(second, olga.token)
    expect(inCalls(back).size).toBe(3)
    expect(await join(back, channelId, participantId)).toMatchObject({
      ...{ participantId, resumed: true },
      kept: { transports: [{ id: sending.transport.id }], producerIds: [producerId] },
    })
    await receiving.gets(producerId!)
    await gets(back, { op: 'voice.pause', producerId })
    await two.seen(tells('voice.producerUpdated', ({ producer }) => (producer as Json).paused === true))
    await gets(back, { op: 'voice.resume', producerId })
    // Whoever doesn't come back is given up: the lease of fifteen seconds, then ten without media.
    await eventually(() => !inCalls(two).has(clara.id), 40_000)
    const left = two.frames.slice(told).filter(tells('voice.left'))
    expect(left.map(({ d }) => (d as Json).userId)).toEqual([clara.id])
    await receiving.gets(producerId!)
    await split.gateways[0]!.start()
    for (const end of [sending, receiving]) end.close()
    for (const socket of [two, back]) await gets(socket, { op: 'voice.leave' })
    for (const socket of [two, back]) socket.close()
  }, 120_000)

  test('a node: its people are told, and go on at the other one', async () => {
    const { olga, maxim, clara, channelId } = people
    const [first, second] = split.urls as [string, string]
    const [one, two, watcher] = [
      await enter(first, olga.token),
      await enter(second, maxim.token),
      await enter(second, clara.token),
    ]
    const { participantId } = await join(one, channelId)
    await join(two, channelId)
    await eventually(() => inCalls(watcher).size === 2)
    const nodes = split.processes.filter(({ name }) => name.startsWith('realtime'))
    const before = await send(signallingOf(one), ['audio'])
    // The one whose worker is the other end of that media.
    const isHome = ({ pid }: { pid: number }) =>
      workersOf([{ pid }]).some((worker) => listensOn(worker, before.transport.iceCandidates[0]!.port))
    const home = nodes.find(isHome)!
    await home.kill('SIGKILL')
    before.close()
    const isTold = tells('voice.interrupted', ({ media }) => media === false)
    // Nobody knows before it has been silent for five seconds, and that is looked at every second.
    for (const socket of [one, two]) await socket.seen(isTold)
    await eventually(() => inCalls(watcher).size === 0)
    expect(await join(one, channelId, participantId)).toMatchObject({ resumed: false, producers: [] })
    expect((await join(two, channelId)).states).toHaveLength(2)
    const sending = await send(signallingOf(one), ['audio'])
    const receiving = await receive(signallingOf(two), sending.producerIds)
    await receiving.gets(sending.producerIds[0]!)
    await eventually(() => inCalls(watcher).size === 2)
    for (const end of [sending, receiving]) end.close()
    for (const socket of [one, two, watcher]) socket.close()
  }, 120_000)
})

/** Whether one of a process's sockets is bound to a UDP port. */
function listensOn(pid: number, port: number): boolean {
  const bound = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  const lines = ['udp', 'udp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').split('\n'))
  const inodes = lines.filter((line) => line.includes(bound)).map((line) => line.trim().split(/\s+/)[9])
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  return inodes.some((inode) => open.includes(`socket:[${inode}]`))
}

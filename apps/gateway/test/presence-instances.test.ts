import { expect, test } from 'bun:test'
import type { Bus } from '@conntext/bus'
import { type PresenceWords, type SaidPresence, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { own, presenceFrames, quick, seen, severable, statuses, tellAll, untilSeen } from './support/presence.ts'
import { type Stack, type StackOptions, startStack } from './support/stack.ts'

const config = { presence: quick }

const beside = ({ bus, authority }: Stack, options: StackOptions = {}) =>
  startStack({ config, ...options, beside: { bus, authority } })

test('every gateway knows who is on the others, and one that starts knows before it takes anybody', async () => {
  await using one = await startStack({ config })
  await using two = await beside(one)
  const [ann, watching] = [await one.authority.member(), await one.authority.member()]
  const { client: watcher } = await two.enter(watching.token)
  const { client } = await one.enter(ann.token)
  await client.ask({ op: 'presence', status: 'dnd', customStatus: { text: 'busy' } })
  await eventually(() => seen(watcher, ann.userId)?.customStatus?.text === 'busy')
  await using three = await beside(one)
  const { ready } = await three.enter((await one.authority.member()).token)
  expect(ready.presences).toContainEqual({
    userId: ann.userId,
    status: 'dnd',
    customStatus: { text: 'busy', emoji: null, expiresAt: null },
  })
})

test('devices on several gateways are one account', async () => {
  await using one = await startStack({ config })
  await using two = await beside(one)
  const [ann, watching] = [await one.authority.member(), await one.authority.member()]
  const { client: watcher } = await one.enter(watching.token)
  const { client: phone } = await one.enter(ann.token)
  const { client: desk } = await two.enter(ann.token)
  await phone.ask({ op: 'presence', status: 'idle' })
  await desk.ask({ op: 'presence', status: 'idle' })
  await untilSeen(watcher, ann.userId, 'idle')
  await desk.ask({ op: 'presence', status: 'dnd', customStatus: { text: 'at the desk' } })
  await untilSeen(watcher, ann.userId, 'dnd')
  await eventually(() => own(phone).at(-1)?.customStatus?.text === 'at the desk')
  await phone.ask({ op: 'presence', status: 'invisible' })
  await untilSeen(watcher, ann.userId, 'offline')
  await eventually(() => own(desk).at(-1)?.status === 'invisible')
  phone.close()
  await untilSeen(watcher, ann.userId, 'dnd')
  // What the desk said stays when it goes, for the phone is there again.
  const { client: back } = await one.enter(ann.token)
  await desk.ask({ op: 'presence', customStatus: { text: 'leaving' } })
  await eventually(() => own(back).at(-1)?.customStatus?.text === 'leaving')
  desk.close()
  await untilSeen(watcher, ann.userId, 'online')
  expect(seen(watcher, ann.userId)?.customStatus?.text).toBe('leaving')
})

test('what an instance said that was killed lapses with its lease, but for those who are back elsewhere', async () => {
  const process = severable()
  await using one = await startStack({ config })
  await using two = await beside(one, { gatewayBus: process.wrap })
  const [ann, ben, watching] = await Promise.all([1, 2, 3].map(() => one.authority.member()))
  const { client: watcher } = await one.enter(watching!.token)
  await two.enter(ann!.token)
  await two.enter(ben!.token)
  for (const { userId } of [ann!, ben!]) await untilSeen(watcher, userId, 'online')
  process.sever()
  const severedAt = performance.now()
  await one.enter(ben!.token)
  await untilSeen(watcher, ann!.userId, 'offline')
  expect(performance.now() - severedAt).toBeLessThan(quick.leaseMs + 10_000)
  expect(statuses(watcher, ann!.userId)).toEqual(['online', 'offline'])
  expect(statuses(watcher, ben!.userId)).toEqual(['online'])
})

test('an instance that stops hands its people over', async () => {
  await using one = await startStack({ config: { presence: { ...quick, graceMs: 8_000 } } })
  const two = await beside(one)
  const [ann, ben, watching] = await Promise.all([1, 2, 3].map(() => one.authority.member()))
  const { client: watcher } = await one.enter(watching!.token)
  const { client } = await two.enter(ann!.token)
  await two.enter(ben!.token)
  await client.ask({ op: 'presence', status: 'dnd' })
  await untilSeen(watcher, ann!.userId, 'dnd')
  await untilSeen(watcher, ben!.userId, 'online')
  await two.gateway.stop()
  // Longer than it would have counted had it been killed.
  await Bun.sleep(1.5 * quick.leaseMs)
  const back = one.connect()
  await back.op('hello')
  back.send({ op: 'identify', token: ann!.token, presence: { status: 'dnd' } })
  await untilSeen(watcher, ben!.userId, 'offline')
  expect(statuses(watcher, ann!.userId).filter((status) => status !== 'online')).toEqual(['dnd'])
  expect(statuses(watcher, ben!.userId)).toEqual(['online', 'offline'])
})

test('what a session had chosen counts no more once it is back, on any gateway; but for having been invisible', async () => {
  const slow = { presence: { ...quick, graceMs: 60_000 } }
  await using one = await startStack({ config: slow })
  await using two = await beside(one, { config: slow })
  const [ann, ben, watching] = await Promise.all([1, 2, 3].map(() => one.authority.member()))
  const { client: watcher } = await one.enter(watching!.token)
  const lose = async (token: string, status: string) => {
    const { client } = await one.enter(token)
    await client.ask({ op: 'presence', status })
    return client
  }
  const [anns, bens] = [await lose(ann!.token, 'dnd'), await lose(ben!.token, 'invisible')]
  await untilSeen(watcher, ann!.userId, 'dnd')
  await untilSeen(watcher, ben!.userId, 'offline')
  for (const client of [anns, bens]) {
    client.close()
    await client.code()
  }
  // Another window of Ben's: the one that is invisible is only about to come back.
  await two.enter(ben!.token)
  await two.enter(ann!.token)
  await untilSeen(watcher, ann!.userId, 'online')
  expect(statuses(watcher, ann!.userId).at(-1)).toBe('online')
  expect(seen(watcher, ben!.userId)?.status ?? 'offline').toBe('offline')
  expect((await one.enter(ben!.token)).ready.presence.status).toBe('invisible')
  expect(statuses(watcher, ann!.userId)).not.toContain('offline')
})

test('what the bus loses is noticed and asked for', async () => {
  let lose = false
  const lossy = (bus: Bus): Bus => ({
    ...bus,
    async publish(subject, payload) {
      const changed = subject === subjects.presence && (JSON.parse(payload) as PresenceWords).k === 'changed'
      if (!(lose && changed)) await bus.publish(subject, payload)
    },
  })
  await using one = await startStack({ config })
  await using two = await beside(one, { gatewayBus: lossy })
  const [ann, watching] = [await one.authority.member(), await one.authority.member()]
  const { client: watcher } = await one.enter(watching.token)
  lose = true
  const { client } = await two.enter(ann.token)
  await untilSeen(watcher, ann.userId, 'online')
  client.close()
  await untilSeen(watcher, ann.userId, 'offline')
})

test('while the bus is away nobody is taken for gone, and after it all is said again', async () => {
  const gaps = new Set<() => void>()
  let away = false
  const interrupted = (bus: Bus): Bus => ({
    ...bus,
    async publish(subject, payload) {
      if (away) throw new Error('the bus is away')
      await bus.publish(subject, payload)
    },
    subscribe: (subject, listener) => bus.subscribe(subject, (payload) => (away ? undefined : listener(payload))),
    onGap(listener) {
      gaps.add(listener)
      return async () => void gaps.delete(listener)
    },
  })
  await using one = await startStack({ config, gatewayBus: interrupted })
  await using two = await beside(one, { gatewayBus: interrupted })
  const [ann, ben, watching] = await Promise.all([1, 2, 3].map(() => one.authority.member()))
  const { client: watcher } = await one.enter(watching!.token)
  const { client } = await two.enter(ann!.token)
  await two.enter(ben!.token)
  for (const { userId } of [ann!, ben!]) await untilSeen(watcher, userId, 'online')
  away = true
  await client.ask({ op: 'presence', status: 'dnd' })
  await Bun.sleep(3 * quick.leaseMs)
  away = false
  for (const listener of gaps) listener()
  await untilSeen(watcher, ann!.userId, 'dnd')
  expect(statuses(watcher, ann!.userId)).toEqual(['online', 'dnd'])
  expect(statuses(watcher, ben!.userId)).toEqual(['online'])
})

test('whoever is banned vanishes everywhere, also when their gateway has just stopped', async () => {
  await using one = await startStack({ config: { presence: { ...quick, graceMs: 60_000 } } })
  const two = await beside(one)
  const [ann, watching] = [await one.authority.member(), await one.authority.member()]
  const { client: watcher } = await one.enter(watching.token)
  await two.enter(ann.token)
  await untilSeen(watcher, ann.userId, 'online')
  await two.gateway.stop()
  await one.authority.setGrant(ann.userId, { standing: 'banned' })
  await untilSeen(watcher, ann.userId, 'offline')
})

const CROWD = 400

test('hundreds who come back at once are no news, and as many who come anew are few frames', async () => {
  const presence = { ...quick, windowMs: 100, maxPerFrame: 100, graceMs: 60_000, leaseMs: 60_000 }
  await using one = await startStack({ config: { presence } })
  await using two = await beside(one, { config: { presence } })
  const [crowd, watching] = [
    await Promise.all(Array.from({ length: CROWD }, () => one.authority.member())),
    await one.authority.member(),
  ]
  const { client: watcher } = await one.enter(watching.token)
  const arrive = async (stack: Stack) => {
    const began = performance.now()
    const clients: Awaited<ReturnType<Stack['enter']>>['client'][] = []
    for (let at = 0; at < CROWD; at += 100) {
      const some = await Promise.all(crowd.slice(at, at + 100).map(({ token }) => stack.enter(token)))
      clients.push(...some.map(({ client }) => client))
    }
    return { clients, ms: performance.now() - began }
  }
  const first = await arrive(two)
  /** How often each was told. */
  const told = () => {
    const times = new Map<string, number>()
    const all = presenceFrames(watcher).flatMap((frame) => frame.d.presences as { userId: string }[])
    for (const { userId } of all) times.set(userId, (times.get(userId) ?? 0) + 1)
    return crowd.map(({ userId }) => times.get(userId) ?? 0)
  }
  await eventually(() => !told().includes(0), 60_000)
  const frames = presenceFrames(watcher)
  // One in each window while they came, and what could not go into those.
  expect(frames.length).toBeLessThanOrEqual(Math.ceil(first.ms / presence.windowMs) + CROWD / presence.maxPerFrame + 2)
  expect(Math.max(...frames.map((frame) => JSON.stringify(frame).length))).toBeLessThan(25_000)
  for (const client of first.clients) client.close()
  await arrive(one)
  const ben = await one.authority.member()
  await two.enter(ben.token)
  await untilSeen(watcher, ben.userId, 'online')
  expect(told().filter((times) => times !== 1)).toEqual([])
}, 120_000)

const CHANNELS = 500
const ONLINE = 10_000

test('ready stays small and quick with 500 channels and 10,000 who are there', async () => {
  await using one = await startStack({ config: { presence: { ...quick, leaseMs: 60_000 } } })
  for (let index = 0; index < CHANNELS; index += 1) {
    const [channel] = one.authority.snapshot.channels
    if (channel) one.authority.snapshot.channels.push({ ...channel, id: newId(), name: `channel-${index}` })
    else await one.authority.channel()
  }
  await one.authority.changed()
  const { token } = await one.authority.member()
  await one.enter(token)
  const before = await one.enter(token)
  const size = (ready: object) => JSON.stringify(ready).length
  const gateway = newId()
  const said = Array.from({ length: ONLINE }, (): SaidPresence => ({ u: newId(), s: 'online', c: null, t: 0 }))
  const heap = process.memoryUsage().heapUsed
  const began = performance.now()
  await tellAll(one.bus, gateway, said)
  const heardMs = performance.now() - began
  await eventually(async () => {
    const headers = { authorization: `Bearer ${token}` }
    const { counts } = (await (await fetch(`${one.url}/v1/presences?limit=1`, { headers })).json()) as {
      counts: { total: number }
    }
    return counts.total === ONLINE + 1
  }, 60_000)
  const asked = performance.now()
  const { ready } = await one.enter(token)
  const readyMs = performance.now() - asked
  expect(ready.presences.length).toBe(100)
  expect(ready.presenceCount).toBe(ONLINE + 1)
  // As much as a hundred presences are, whatever the crowd.
  expect(size(ready) - size(before.ready)).toBeLessThan(12_000)
  expect(size(ready)).toBeLessThan(CHANNELS * 400 + 12_000)
  expect(readyMs).toBeLessThan(5_000)
  const figures = { heardMs, readyMs, readyBytes: size(ready), heapBytes: process.memoryUsage().heapUsed - heap }
  console.info(JSON.stringify(Object.fromEntries(Object.entries(figures).map(([k, v]) => [k, Math.round(v)]))))
}, 120_000)

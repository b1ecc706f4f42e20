import { describe, expect, test } from 'bun:test'
import { type Bus, createRedisBus } from '@conntext/bus'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { hasRedis, startRedis, startRedisCluster } from '@conntext/testing/redis'
import { quick, seen, statuses, untilSeen } from './support/presence.ts'
import { type Stack, startStack } from './support/stack.ts'

// Longer than it takes a bus to notice that Redis is away: until then a lease runs.
const LEASE_MS = 3_000

/** Gateways with a connection of their own each; who may do what is still said within the process. */
function instances(urls: string[]) {
  const buses: Bus[] = []
  const prefix = `test-${newId()}:`
  const start = (first?: Stack) => {
    const bus = createRedisBus({ urls, prefix, log: silentLogger })
    buses.push(bus)
    const beside = first ? { beside: { bus: first.bus, authority: first.authority } } : {}
    const presence = { ...quick, graceMs: 2_000, leaseMs: LEASE_MS }
    return startStack({ config: { presence }, gatewayBus: () => bus, ...beside })
  }
  return { start, close: () => Promise.all(buses.map((bus) => bus.close())) }
}

describe.skipIf(!hasRedis())('presences over Redis', () => {
  test.each([
    ['one server', async () => startRedis().then((redis) => ({ redis, urls: [redis.url] }))],
    ['a cluster', async () => startRedisCluster().then((redis) => ({ redis, urls: redis.urls }))],
  ] as const)(
    '%s: who is where, who starts later, and who stops',
    async (_, open) => {
      const { redis, urls } = await open()
      await using _redis = redis
      const { start, close } = instances(urls)
      const one = await start()
      const two = await start(one)
      const [ann, ben, watching] = await Promise.all([1, 2, 3].map(() => one.authority.member()))
      const { client: watcher } = await one.enter(watching!.token)
      const { client } = await two.enter(ann!.token)
      await two.enter(ben!.token)
      await client.ask({ op: 'presence', status: 'dnd', customStatus: { text: 'busy' } })
      await eventually(() => seen(watcher, ann!.userId)?.customStatus?.text === 'busy')
      await untilSeen(watcher, ben!.userId, 'online')
      const three = await start(one)
      const { ready } = await three.enter(watching!.token)
      const found = ready.presences.map((presence: { userId: string }) => presence.userId)
      expect(found.sort()).toEqual([ann!.userId, ben!.userId].sort())
      await two.gateway.stop()
      await three.enter(ben!.token)
      await untilSeen(watcher, ann!.userId, 'offline')
      expect(statuses(watcher, ben!.userId)).toEqual(['online'])
      for (const stack of [one, three]) await stack.gateway.stop()
      await close()
    },
    60_000,
  )

  test('that is away for longer than a lease takes nobody for gone', async () => {
    await using redis = await startRedis()
    const { start, close } = instances([redis.url])
    const one = await start()
    const two = await start(one)
    const [ann, watching] = await Promise.all([1, 2].map(() => one.authority.member()))
    const { client: watcher } = await one.enter(watching!.token)
    const { client } = await two.enter(ann!.token)
    await untilSeen(watcher, ann!.userId, 'online')
    await redis.kill()
    await client.ask({ op: 'presence', status: 'dnd' })
    await Bun.sleep(1.5 * LEASE_MS)
    await redis.restart()
    await untilSeen(watcher, ann!.userId, 'dnd')
    expect(statuses(watcher, ann!.userId)).toEqual(['online', 'dnd'])
    for (const stack of [one, two]) await stack.gateway.stop()
    await close()
  }, 60_000)
})

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { eventually } from '../../src/poll.ts'
import { hasRedis, type RedisCluster, type RedisServer, startRedisCluster } from '../../src/redis/index.ts'
import { newSubject } from './contract.ts'
import { listen, tidy, timed } from './support.ts'

describe.skipIf(!hasRedis())('the bus over a cluster', () => {
  const here = tidy()
  let cluster: RedisCluster
  const open = (urls = cluster.urls) => here.bus(urls)

  beforeAll(async () => {
    cluster = await startRedisCluster()
  }, 60_000)
  afterEach(() => here.end())
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  const slotOf = async (subject: string) =>
    Number(await cluster.nodes[0]!.cli('cluster', 'keyslot', `conntext:${subject}`))
  const idOf = (node: RedisServer) => node.cli('cluster', 'myid')
  /** The one that serves the slot: it alone takes a publication in it. */
  const masterOf = async (subject: string) => {
    const answers = await Promise.all(
      cluster.nodes.map(async (node) => [node, await node.cli('spublish', `conntext:${subject}`, ' probe')] as const),
    )
    return answers.find(([, answer]) => !answer.startsWith('MOVED'))![0]
  }

  test('shares the subjects among its nodes', async () => {
    const bus = open()
    await Promise.all(Array.from({ length: 100 }, () => bus.subscribe(newSubject(), () => {})))
    const counts = await Promise.all(
      cluster.nodes.map(async (node) => (await node.cli('pubsub', 'shardchannels', 'conntext:subject.*')).split('\n')),
    )
    expect(counts.flat()).toHaveLength(100)
    for (const channels of counts) expect(channels.length).toBeGreaterThan(10)
  })

  test('finds the other nodes, however it is told of them', async () => {
    const [first, second] = cluster.urls
    const bus = open([first!, first!])
    const other = open([second!, 'redis://127.0.0.1:1'])
    for (let round = 0; round < 10; round += 1) {
      const subject = newSubject()
      const { heard } = await listen(bus, subject)
      await other.announce(subject, '1')
      expect(heard).toEqual(['1'])
    }
    await bus.check()
  })

  test('of which a slot moves goes along, with a gap', async () => {
    const [one, other] = [open(), open()]
    const subject = newSubject()
    const { heard } = await listen(one, subject)
    const from = await masterOf(subject)
    const to = cluster.nodes.find((node) => node !== from)!
    const slot = String(await slotOf(subject))
    const id = await idOf(to)
    for (const node of [to, from, ...cluster.nodes]) await node.cli('cluster', 'setslot', slot, 'node', id)
    // Redis says so: this is sooner than the cluster is looked at by the clock.
    await eventually(() => one.gaps > 0, 3_000)
    await eventually(async () => {
      await timed(other.announce(subject, 'moved'))
      return heard.includes('moved')
    })
    expect(await to.cli('pubsub', 'shardnumsub', `conntext:${subject}`)).toContain('1')
  })

  test('of which a node is killed and comes back is heard again, with a gap', async () => {
    const [one, other] = [open(), open()]
    const subjects = Array.from({ length: 100 }, newSubject)
    const heard = new Set<string>()
    await Promise.all(subjects.map((subject) => one.subscribe(subject, () => heard.add(subject))))
    await other.check()
    await cluster.nodes[1]!.kill()
    await eventually(async () => (await timed(other.check())).failed)
    const published = await timed(Promise.all(subjects.map((subject) => timed(other.publish(subject, '')))))
    expect(published.ms).toBeLessThan(10_000)
    await cluster.nodes[1]!.restart()
    await eventually(() => one.gaps > 0, 20_000)
    heard.clear()
    await eventually(async () => {
      await Promise.all(subjects.map((subject) => timed(other.publish(subject, ''))))
      return heard.size === subjects.length
    }, 20_000)
    // Its own subscriber may still be on its way back to that node.
    await eventually(async () => !(await timed(other.check())).failed)
  })

  test('of which a node stands still is found out, and heard again when it goes on', async () => {
    const [one, other] = [open(), open()]
    const subjects = Array.from({ length: 30 }, newSubject)
    const heard = new Set<string>()
    await Promise.all(subjects.map((subject) => one.subscribe(subject, () => heard.add(subject))))
    cluster.nodes[2]!.freeze()
    try {
      await eventually(async () => (await timed(one.check())).failed)
      await eventually(async () => {
        const { ms } = await timed(Promise.all(subjects.map((subject) => timed(other.publish(subject, '')))))
        return ms < 100
      })
    } finally {
      cluster.nodes[2]!.thaw()
    }
    await eventually(() => one.gaps > 0, 20_000)
    heard.clear()
    await eventually(async () => {
      await Promise.all(subjects.map((subject) => timed(other.publish(subject, ''))))
      return heard.size === subjects.length
    }, 20_000)
  })
})

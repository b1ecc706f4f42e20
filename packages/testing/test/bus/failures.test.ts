import { afterAll, afterEach, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import net from 'node:net'
import { freePort } from '@conntext/embedded'
import { createLogger } from '@conntext/kernel'
import { eventually } from '../../src/poll.ts'
import { hasRedis, type RedisServer, startRedis } from '../../src/redis/index.ts'
import { newSubject } from './contract.ts'
import { listen, startDeafSubscriber, startProxy, tidy, timed } from './support.ts'

// Redis counts its time in ticks of a quarter of a second: about a second for an answer, and some for a slow machine.
// Three times that and more, for a machine that is busy; without a bound it would be for ever.
const ABOUT_A_SECOND_MS = 5_000

describe.skipIf(!hasRedis())('the bus over a Redis that', () => {
  const here = tidy()
  let redis: RedisServer
  const open = () => here.bus([redis.url])

  beforeAll(async () => {
    redis = await startRedis()
  }, 60_000)
  afterEach(() => here.end())
  afterAll(() => redis?.[Symbol.asyncDispose]())

  const numSub = async (subject: string) =>
    Number((await redis.cli('pubsub', 'numsub', `conntext:${subject}`)).split('\n')[1])

  test('is used sparingly is asked for a subject once, and only while somebody listens', async () => {
    const bus = open()
    const subject = newSubject()
    const one = await listen(bus, subject)
    const other = await listen(bus, subject)
    expect(await numSub(subject)).toBe(1)
    await one.end()
    await bus.announce(subject, '1')
    expect([one.heard, other.heard]).toEqual([[], ['1']])
    expect(await numSub(subject)).toBe(1)
    await other.end()
    await eventually(async () => (await numSub(subject)) === 0)
  })

  test('is killed and comes back: all is heard again, and then there is a gap', async () => {
    const [one, other] = [open(), open()]
    const subjects = Array.from({ length: 1_000 }, newSubject)
    const heard = new Set<string>()
    await Promise.all(subjects.map((subject) => one.subscribe(subject, () => heard.add(subject))))
    let subscribed = 0
    one.onGap(async () => {
      subscribed = Math.max(
        subscribed,
        (await redis.cli('pubsub', 'channels', 'conntext:subject.*')).split('\n').length,
      )
    })
    await redis.kill()
    await eventually(async () => (await timed(one.check())).failed)
    await redis.restart()
    await eventually(async () => !(await timed(other.check())).failed)
    await eventually(() => one.gaps > 0 && subscribed > 0)
    expect(subscribed).toBe(subjects.length)
    await Promise.all(subjects.map((subject) => other.publish(subject, '')))
    await eventually(() => heard.size === subjects.length)
  })

  test('is away refuses what is published, soon, and from then on at once; own listeners hear announcements', async () => {
    const bus = open()
    const subject = newSubject()
    const { heard } = await listen(bus, subject)
    await redis.kill()
    const first = await timed(bus.publish(subject, '1'))
    expect(first.failed).toBe(true)
    expect(first.ms).toBeLessThan(ABOUT_A_SECOND_MS)
    const many = await timed(Promise.all(Array.from({ length: 100 }, () => timed(bus.publish(subject, '2')))))
    expect(many.ms).toBeLessThan(1_000)
    expect(await timed(bus.announce(subject, 'announced'))).toMatchObject({ failed: true })
    expect(heard).toEqual(['announced'])
    expect((await timed(bus.check())).failed).toBe(true)
    await redis.restart()
    await eventually(async () => !(await timed(bus.publish(subject, 'back'))).failed)
    await eventually(() => bus.gaps > 0)
    await bus.announce(subject, 'heard')
    expect(heard.at(-1)).toBe('heard')
  })

  test('stands still is found out, and what was subscribed is heard when it goes on', async () => {
    const [one, other] = [open(), open()]
    const subject = newSubject()
    const { heard } = await listen(one, subject)
    await other.check()
    redis.freeze()
    try {
      const published = await timed(other.publish(subject, 'lost or late'))
      expect(published).toMatchObject({ failed: true })
      expect(published.ms).toBeLessThan(ABOUT_A_SECOND_MS)
      expect((await timed(one.check())).ms).toBeLessThan(ABOUT_A_SECOND_MS)
      // By then both have given the connection up.
      await eventually(async () => (await timed(other.publish(subject, 'refused'))).ms < 50)
      const waited = await timed(one.subscribe(newSubject(), () => {}))
      expect(waited.failed).toBe(false)
      expect(waited.ms).toBeLessThan(ABOUT_A_SECOND_MS)
    } finally {
      redis.thaw()
    }
    await eventually(() => one.gaps > 0 && other.gaps > 0)
    await other.announce(subject, 'heard')
    expect(heard.at(-1)).toBe('heard')
  })

  test('stands still for a moment is only waited for', async () => {
    const bus = open()
    const subject = newSubject()
    const { heard } = await listen(bus, subject)
    redis.freeze()
    const publishing = bus.publish(subject, 'late')
    await Bun.sleep(300)
    redis.thaw()
    await publishing
    await bus.announce(subject, 'next')
    expect(heard).toEqual(['late', 'next'])
    expect(bus.gaps).toBe(0)
  })

  test('ends the subscribing connection is subscribed again, and there is a gap', async () => {
    const [one, other] = [open(), open()]
    const subject = newSubject()
    const { heard } = await listen(one, subject)
    await redis.cli('client', 'kill', 'type', 'pubsub')
    await eventually(() => one.gaps === 1)
    await other.announce(subject, 'heard')
    expect(heard).toEqual(['heard'])
  })

  test('ends the publishing connection costs no message that had not been sent', async () => {
    const [one, other] = [open(), open()]
    const subject = newSubject()
    const { heard } = await listen(one, subject)
    await other.publish(subject, '1')
    await redis.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
    await other.publish(subject, '2').catch(() => other.publish(subject, '2'))
    await eventually(() => heard.at(-1) === '2')
    expect(heard[0]).toBe('1')
  })

  test('is no longer written to costs nothing that had not been sent, before anybody has heard of the end', async () => {
    const dialled = spyOn(net, 'createConnection')
    const bus = open()
    await bus.publish(newSubject(), '')
    const sockets = dialled.mock.results.map(({ value }) => value as net.Socket)
    dialled.mockRestore()
    expect(sockets.length).toBeGreaterThan(0)
    for (const socket of sockets) socket.end()
    await bus.publish(newSubject(), '')
  })

  test('is cut off while many subscribe leaves nobody deaf', async () => {
    const [one, other] = [open(), open()]
    await one.check()
    for (let round = 0; round < 5; round += 1) {
      const heard = new Set<string>()
      const subjects = Array.from({ length: 300 }, newSubject)
      const subscribing = subjects.map(async (subject, index) => {
        await Bun.sleep(index % 7)
        const end = await one.subscribe(subject, () => {})
        await one.subscribe(subject, () => heard.add(subject))
        await end()
      })
      await Bun.sleep(3)
      await redis.cli('client', 'kill', 'type', 'pubsub')
      await Promise.all(subscribing)
      await eventually(async () => {
        await Promise.all(subjects.map((subject) => other.publish(subject, '')))
        return heard.size === subjects.length
      })
    }
    expect(one.gaps).toBeGreaterThan(0)
  })

  test('comes only later is waited for: what was subscribed before is heard then, after a gap', async () => {
    const port = await freePort()
    const bus = here.bus([`redis://127.0.0.1:${port}`])
    const subject = newSubject()
    const subscribing = listen(bus, subject)
    expect((await timed(subscribing)).ms).toBeLessThan(ABOUT_A_SECOND_MS)
    const late = await startRedis({ port })
    here.add(() => late[Symbol.asyncDispose]())
    await eventually(() => bus.gaps > 0)
    await eventually(async () => !(await timed(bus.announce(subject, 'heard'))).failed)
    expect((await subscribing).heard.at(-1)).toBe('heard')
  })

  test('only one process can’t reach keeps no secret from the others: they are told that they missed something', async () => {
    const proxy = startProxy(redis.port)
    here.add(() => proxy.stop())
    const [cut, other] = [here.bus([proxy.url]), open()]
    const subject = newSubject()
    const { heard } = await listen(other, subject)
    await cut.announce(subject, '1')
    proxy.cut()
    await eventually(async () => (await timed(cut.publish(subject, 'lost'))).failed)
    expect(other.gaps).toBe(0)
    proxy.mend()
    await eventually(() => other.gaps === 1)
    expect(heard.filter((one) => one === '1')).toHaveLength(1)
  })

  test('has a subscriber who never answers is not waited for longer than a moment', async () => {
    const bus = open()
    const subject = newSubject()
    const { heard } = await listen(bus, subject)
    here.add(await startDeafSubscriber(redis.port, `conntext:${subject}`))
    const announced = await timed(bus.announce(subject, '1'))
    expect(announced.failed).toBe(false)
    expect(announced.ms).toBeGreaterThan(200)
    expect(announced.ms).toBeLessThan(ABOUT_A_SECOND_MS)
    expect(heard).toEqual(['1'])
  })

  test('is listened to by a process that stands still: others are waited for by the time in which it could hear them', async () => {
    const bus = open()
    const subject = newSubject()
    const { heard } = await listen(bus, subject)
    here.add(await startDeafSubscriber(redis.port, `conntext:${subject}`))
    const announcing = timed(bus.announce(subject, '1'))
    await eventually(() => heard.length > 0)
    await Bun.sleep(50)
    Bun.sleepSync(400)
    // What came meanwhile has not been read yet.
    expect((await announcing).ms).toBeGreaterThan(650)
  })

  test('is shared with other servers keeps them apart by their prefixes', async () => {
    const [one, neighbour] = [open(), here.bus([redis.url], { prefix: 'another:' })]
    const subject = newSubject()
    const [ours, there] = [await listen(one, subject), await listen(neighbour, subject)]
    await neighbour.announce(subject, 'theirs')
    await one.announce(subject, 'ours')
    expect([ours.heard, there.heard]).toEqual([['ours'], ['theirs']])
  })

  test('is left has no connection of ours any more, and nothing here keeps the process running', async () => {
    const ours = async () => (await redis.cli('client', 'list')).split('\n').length
    const before = await ours()
    const script = `
      import { createRedisBus } from '@conntext/bus'
      import { silentLogger as log } from '@conntext/kernel'
      for (const url of process.argv.slice(-2)) {
        const bus = createRedisBus({ urls: [url], log })
        await bus.subscribe('a', () => {})
        await bus.announce('a', '1').catch(() => {})
        await bus.close()
        if (await bus.publish('a', '1').then(() => true, () => false)) throw new Error('published after the end')
      }`
    const nowhere = `redis://127.0.0.1:${await freePort()}`
    const child = Bun.spawn([process.execPath, '-e', script, redis.url, nowhere], {
      cwd: import.meta.dir,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 20_000,
    })
    expect(await child.exited).toBe(0)
    expect(await ours()).toBe(before)
  })

  test('wants a password gets it; who has another one is told so, without it', async () => {
    const guarded = await startRedis({ password: 's3cret/+' })
    here.add(() => guarded[Symbol.asyncDispose]())
    await here.bus([guarded.url], { password: 's3cret/+' }).check()
    await here.bus([guarded.url.replace('//', `//:${encodeURIComponent('s3cret/+')}@`)]).check()
    const lines: string[] = []
    const log = createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) })
    const stranger = here.bus([guarded.url], { password: 'another', log })
    await expect(stranger.check()).rejects.toThrow('WRONGPASS')
    expect(lines.join()).toContain('WRONGPASS')
    expect(lines.join()).not.toContain('another')
  })
})

test.each(['http://127.0.0.1', 'redis', 'redis://', ''])('%p is no address of a Redis', (url) => {
  const { bus } = tidy()
  expect(() => bus([url])).toThrow('redis://host:6379')
})

import { describe, expect, test } from 'bun:test'
import type { Bus } from '@conntext/bus'
import { decodeNotice, encodeNotice, voiceFrame } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { receive, send } from '@conntext/testing/media'
import { hasWorker, severable, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip

/** A bus on which one gateway doesn't hear the notices that `loses` says. */
function lossy() {
  const lost = { is: (_event: string): boolean => false, count: 0 }
  const wrap = (bus: Bus): Bus => ({
    ...bus,
    subscribe: (subject, listener) =>
      bus.subscribe(subject, (payload) => {
        const notice = subject.startsWith('voice.gateway.') && JSON.parse(decodeNotice(payload).frame).t
        if (notice && lost.is(notice)) lost.count += 1
        else listener(payload)
      }),
  })
  return { lost, wrap }
}

withWorker(`what is lost on the way${skipped}`, () => {
  test('shows by its number: one is told once, and nothing more until one has joined again', async () => {
    const { lost, wrap } = lossy()
    // What is lost last shows by the lease, which here is not waited for.
    await using stack = await startCalls({ gateways: [{ bus: wrap, config: { voice: { leaseMs: 60_000 } } }, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    await anna.join(channel.id)
    await bert.join(channel.id)
    lost.is = (event) => event === 'voice.producerAdded'
    const producerId = await bert.produce()
    await eventually(() => lost.count === 1)
    lost.is = () => false
    await bert.gets({ op: 'voice.pause', producerId })
    expect(await anna.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: true })
    await bert.gets({ op: 'voice.resume', producerId })
    await eventually(() => anna.states.get(bert.userId)?.selfMuted === false)
    expect(anna.heard('voice.producerUpdated')).toEqual([])
    expect(anna.heard('voice.interrupted')).toHaveLength(1)
    const { participantId } = anna.joined!
    const again = await anna.resume(anna)
    expect(again).toMatchObject({ resumed: true, participantId, producers: [{ id: producerId, paused: false }] })
    await bert.gets({ op: 'voice.closeProducer', producerId })
    expect(await anna.hears('voice.producerRemoved')).toMatchObject({ producerId })
  })

  test('shows by the lease, where nothing comes after it', async () => {
    const { lost, wrap } = lossy()
    await using stack = await startCalls({ gateways: [{ bus: wrap }, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    const moderator = await stack.person({ permissions: ['voice.move'] })
    await anna.join(channel.id)
    await bert.join(channel.id)
    lost.is = (event) => event === 'voice.producerAdded'
    await bert.produce()
    await anna.hears('voice.interrupted', ({ media }) => media === true)
    await anna.resume(anna)
    lost.is = (event) => event === 'voice.ended'
    await stack.moderate(moderator, anna, 'disconnect')
    await eventually(() => lost.count === 2)
    lost.is = () => false
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'ended', rejoin: true })
    expect(await anna.outcome({ op: 'voice.stats' })).toBe('voice.notInCall')
  })

  test('makes no difference to an end: it is told, whatever was missed before', async () => {
    const { lost, wrap } = lossy()
    await using stack = await startCalls({ gateways: [{ bus: wrap }, {}] })
    const [channel, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    const moderator = await stack.person({ permissions: ['voice.move'] })
    await anna.join(channel.id)
    await bert.join(channel.id)
    lost.is = (event) => event === 'voice.producerAdded'
    await bert.produce()
    await stack.moderate(moderator, anna, 'move', other.id)
    expect(await anna.hears('voice.moved')).toEqual({ channelId: channel.id, to: other.id })
    expect(await anna.outcome({ op: 'voice.stats' })).toBe('voice.notInCall')
    await anna.join(other.id)
  })

  test('what comes twice is told once, and what comes after a node has asked one to join again is not', async () => {
    let gatewayId = ''
    const twice = (bus: Bus): Bus => ({
      ...bus,
      subscribe: (subject, listener) =>
        bus.subscribe(subject, (payload) => {
          listener(payload)
          if (!subject.startsWith('voice.gateway.')) return
          gatewayId = subject.slice('voice.gateway.'.length)
          listener(payload)
        }),
    })
    await using stack = await startCalls({ gateways: [{ bus: twice }, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    const { participantId } = await anna.join(channel.id)
    await bert.join(channel.id)
    const producerId = await bert.produce()
    await bert.gets({ op: 'voice.pause', producerId })
    await anna.hears('voice.producerUpdated')
    expect(anna.heard('voice.producerAdded')).toHaveLength(1)
    expect(anna.heard('voice.interrupted')).toEqual([])
    const tell = (i: number, event: 'voice.interrupted' | 'voice.producerRemoved') => {
      const to = [{ c: anna.connectionId, p: participantId, i }]
      const data = { channelId: channel.id, media: false, producerId, userId: bert.userId }
      const frame = voiceFrame('user:', event, new Date().toISOString(), data)
      return stack.bus.publish(`voice.gateway.${gatewayId}`, encodeNotice(to, frame))
    }
    await tell(3, 'voice.interrupted')
    await tell(4, 'voice.producerRemoved')
    await anna.gets({ op: 'voice.stats' })
    expect(anna.heard('voice.interrupted')).toHaveLength(1)
    expect(anna.heard('voice.producerRemoved')).toEqual([])
  })

  test('what is told while one joins comes after the reply, in its order, and what the reply knows already never', async () => {
    let answer = Promise.withResolvers<void>()
    let joined = 0
    await using stack = await startCalls({
      gateways: [
        {
          port: (port) =>
            new Proxy(port, {
              get: (ports, name: keyof typeof port) =>
                name !== 'voiceJoin'
                  ? ports[name]
                  : async (request: Parameters<typeof port.voiceJoin>[0]) => {
                      const done = await ports.voiceJoin(request)
                      joined += 1
                      await answer.promise
                      return done
                    },
            }),
        },
        {},
      ],
    })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    await bert.join(channel.id)
    const during = async (join: () => Promise<unknown>, work: () => Promise<unknown>) => {
      answer = Promise.withResolvers()
      const before = joined
      const joining = join()
      await eventually(() => joined > before)
      await work()
      answer.resolve()
      await joining
    }
    let producerId = ''
    const from = anna.frames.length
    await during(
      () => anna.join(channel.id),
      async () => {
        producerId = await bert.produce()
        await bert.gets({ op: 'voice.pause', producerId })
      },
    )
    await anna.hears('voice.producerUpdated')
    const own = anna.frames
      .slice(from)
      .flatMap(({ op, t }) => (op === 'reply' ? [op] : t.includes('producer') ? [t] : []))
    expect(own).toEqual(['reply', 'voice.producerAdded', 'voice.producerUpdated'])
    // Resuming restates what came before it.
    await during(
      () => anna.resume(anna),
      () => bert.gets({ op: 'voice.resume', producerId }),
    )
    await anna.hears('voice.producerUpdated', ({ producer }) => producer.paused === false)
    expect(anna.heard('voice.interrupted')).toEqual([])
    expect(anna.heard('voice.producerUpdated')).toHaveLength(2)
  })
})

withWorker(`who dies${skipped}`, () => {
  test('a gateway that falls silent: media goes on, who comes back by another one keeps it, the others are given up', async () => {
    const process = { sever() {} }
    await using stack = await startCalls({
      gateways: [
        {
          bus: (bus) => {
            const own = severable(bus)
            process.sever = own.sever
            return own.bus
          },
        },
        {},
      ],
    })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const carla = await stack.person({ gateway: 1 })
    for (const one of [anna, bert, carla]) await one.join(channel.id)
    const sending = await send(anna.signalling, ['audio'])
    const receiving = await receive(carla.signalling, sending.producerIds)
    await receiving.gets(sending.producerIds[0]!)
    process.sever()
    stack.clock.advance(14_000)
    await receiving.gets(sending.producerIds[0]!)
    const back = await stack.person({ gateway: 1, member: anna.member })
    expect(await back.resume(anna)).toMatchObject({ resumed: true, kept: { producerIds: sending.producerIds } })
    // Ten seconds without media after the lease has run out, which the node looks at every second.
    const passing = setInterval(() => stack.clock.advance(2_000), 200)
    expect(await carla.hears('voice.left')).toEqual({ channelId: channel.id, userId: bert.userId })
    clearInterval(passing)
    await receiving.gets(sending.producerIds[0]!)
    expect([...carla.states.keys()].toSorted()).toEqual([anna.userId, carla.userId].toSorted())
    expect(carla.heard('voice.interrupted')).toEqual([])
    expect((await back.gets<{ streams: unknown[] }>({ op: 'voice.stats' })).streams).toHaveLength(1)
    for (const one of [sending, receiving]) one.close()
  }, 30_000)

  test('a gateway that stops sends its clients elsewhere, and nobody else notices', async () => {
    await using stack = await startCalls({ gateways: [{}, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert, carla] = [await stack.person(), await stack.person(), await stack.person({ gateway: 1 })]
    for (const one of [anna, bert, carla]) await one.join(channel.id)
    const producerId = await anna.produce()
    await stack.gateways[0]!.gateway.stop()
    expect((await eventually(() => anna.closed)).code).toBe(1001)
    const back = await stack.person({ gateway: 1, member: anna.member })
    expect(await back.resume(anna)).toMatchObject({ resumed: true, kept: { producerIds: [producerId] } })
    expect(carla.heard('voice.left')).toEqual([])
    // Known at once: long before a lease would have run out.
    stack.clock.advance(11_000)
    expect(await carla.hears('voice.left')).toEqual({ channelId: channel.id, userId: bert.userId })
    expect(back.heard('voice.ended')).toEqual([])
  })

  test('a connection that is lost and comes back, to another gateway, has been away for nobody', async () => {
    await using stack = await startCalls({ gateways: [{}, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const producerId = await bert.produce()
    await eventually(() => bert.states.size === 2)
    const before = bert.frames.length
    anna.close()
    await eventually(() => anna.closed)
    await bert.gets({ op: 'voice.pause', producerId })
    const back = await stack.person({ gateway: 1, member: anna.member })
    const joined = await back.resume(anna)
    expect(joined).toMatchObject({ resumed: true, producers: [{ id: producerId, paused: true }] })
    await bert.gets({ op: 'voice.resume', producerId })
    expect(await back.hears('voice.producerUpdated')).toMatchObject({ producer: { paused: false } })
    const told = bert.frames.slice(before).filter(({ t, d }) => t && d.userId === anna.userId)
    expect(told).toEqual([])
  })

  test('a node that dies: its people are told within seconds, and join the call anew on another one', async () => {
    const away = { is: false }
    const deaf = (bus: Bus): Bus => ({
      ...bus,
      subscribe: (subject, listener) => bus.subscribe(subject, (payload) => (away.is ? undefined : listener(payload))),
      async check() {
        if (away.is) throw new Error('away')
      },
    })
    await using stack = await startCalls({ gateways: [{}, { bus: deaf }], nodes: 2 })
    const channel = await stack.voiceChannel()
    const [anna, bert, watcher] = [await stack.person(), await stack.person({ gateway: 1 }), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    await eventually(() => watcher.states.size === 2)
    stack.home(channel.id).kill()
    away.is = true
    expect(await anna.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: false })
    await eventually(() => watcher.states.size === 0)
    const again = await eventually(() => anna.resume(anna).catch(() => undefined))
    expect(again.resumed).toBe(false)
    await eventually(() => watcher.states.size === 1)
    // Whose bus is away knows nothing of nodes: it leaves its people alone.
    expect(bert.heard('voice.interrupted')).toEqual([])
    await bert.join(channel.id)
    expect(bert.joined!.states).toHaveLength(2)
    expect(anna.heard('voice.interrupted')).toHaveLength(1)
  }, 30_000)

  test('a node that stops in order says so once', async () => {
    await using stack = await startCalls({ nodes: 2 })
    const channel = await stack.voiceChannel()
    const [anna, watcher] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await eventually(() => watcher.states.size === 1)
    await stack.home(channel.id).stop()
    await anna.hears('voice.interrupted')
    await eventually(() => watcher.states.size === 0)
    const { resumed } = await eventually(() => anna.resume(anna).catch(() => undefined))
    expect(resumed).toBe(false)
    expect(anna.heard('voice.interrupted')).toEqual([{ channelId: channel.id, media: false }])
    expect(anna.heard('voice.ended')).toEqual([])
  })
})

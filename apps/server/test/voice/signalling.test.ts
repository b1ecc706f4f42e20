import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { DTLS } from '@conntext/testing/media'
import { hasWorker, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`calls over the gateway${skipped}`, () => {
  test('from joining to hearing and leaving, at two gateways', async () => {
    await using stack = await startCalls({ gateways: [{}, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert, watcher] = await Promise.all([0, 1, 1].map((gateway) => stack.person({ gateway })))
    const joined = await anna!.join(channel.id)
    expect(joined).toMatchObject({ channelId: channel.id, resumed: false, producers: [] })
    expect(joined.states.map(({ userId }) => userId)).toEqual([anna!.userId])
    expect(await watcher!.hears('voice.joined')).toMatchObject({ userId: anna!.userId, selfMuted: true })
    await bert!.join(channel.id)
    const { id: sending } = await anna!.transport('send')
    expect(await anna!.outcome({ op: 'voice.connectTransport', transportId: sending, dtlsParameters: DTLS })).toBe('ok')
    const producerId = await anna!.produce(sending)
    const added = await bert!.hears('voice.producerAdded')
    expect(added).toMatchObject({ channelId: channel.id, producer: { id: producerId, userId: anna!.userId } })
    expect(watcher!.heard('voice.producerAdded')).toEqual([])
    await eventually(() => watcher!.states.get(anna!.userId)?.selfMuted === false)
    const { id: receiving } = await bert!.transport('recv')
    const consumer = await bert!.consume(receiving, producerId)
    expect(consumer).toMatchObject({ producerId, kind: 'audio', paused: true })
    for (const frame of [
      { op: 'voice.resumeConsumer', consumerId: consumer.id },
      { op: 'voice.pause', consumerId: consumer.id },
      { op: 'voice.resume', consumerId: consumer.id },
      { op: 'voice.restartIce', transportId: receiving },
      { op: 'voice.stats' },
    ]) {
      expect([frame.op, await bert!.outcome(frame)]).toEqual([frame.op, 'ok'])
    }
    await anna!.gets({ op: 'voice.pause', producerId })
    expect(await bert!.hears('voice.producerUpdated')).toMatchObject({ producer: { id: producerId, paused: true } })
    await anna!.leave()
    expect(await bert!.hears('voice.producerRemoved')).toMatchObject({ producerId })
    expect(await watcher!.hears('voice.left')).toEqual({ channelId: channel.id, userId: anna!.userId })
    expect(await anna!.outcome({ op: 'voice.stats' })).toBe('voice.notInCall')
    await bert!.leave()
    await eventually(() => watcher!.states.size === 0)
  })
})

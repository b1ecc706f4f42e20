import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { receive, send } from './support/media.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`media${skipped}`, () => {
  test('what one sends the other receives; muting stops it, and speaking is seen', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    const [audio, video] = sender.producerIds as [string, string]
    await Promise.all([receiver.gets(audio), receiver.gets(video)])
    const heard = await bert.hears('voice.activeSpeakers', ({ speakers }) => speakers.length > 0)
    expect(heard.speakers).toEqual([{ userId: anna.userId, level: -20 }])
    const stats = await bert.port.voiceStats({ participant: bert.participant })
    expect(stats.transports).toMatchObject([{ direction: 'recv', dtlsState: 'connected', protocol: 'udp' }])
    expect(stats.streams.every(({ packets }) => packets! > 0)).toBe(true)

    await anna.port.voicePause({ participant: anna.participant, producerId: audio })
    await bert.hears('voice.activeSpeakers', ({ speakers }) => speakers.length === 0)
    const before = receiver.count(audio)
    await receiver.gets(video, 30)
    expect(receiver.count(audio) - before).toBeLessThan(5)
    await anna.port.voiceResume({ participant: anna.participant, producerId: audio })
    await receiver.gets(audio)

    // Deafened, one sees and hears nothing.
    await bert.port.voicePause({ participant: bert.participant })
    // What was on its way has come by then.
    await receiver.gets(video, 10)
    const deaf = receiver.count(audio)
    await receiver.gets(video, 30)
    expect(receiver.count(audio) - deaf).toBeLessThan(5)
    await bert.port.voiceResume({ participant: bert.participant })
    await receiver.gets(audio)
    sender.close()
    receiver.close()
  })

  test('a call that outgrows a worker goes on at a second one, and all receive one another', async () => {
    await using stack = await startNodes(1, { workers: 2, consumersPerWorker: 1 })
    const channel = await stack.voiceChannel()
    const [anna, bert, carla] = [await stack.person(), await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const sender = await send(anna)
    const first = await receive(bert, sender.producerIds)
    // By now the first worker has as many consumers as it should.
    await carla.join(channel.id)
    expect(sender.transport.iceCandidates[0]!.port).toBe(first.transport.iceCandidates[0]!.port)
    const second = await receive(carla, sender.producerIds)
    expect(second.transport.iceCandidates[0]!.port).not.toBe(first.transport.iceCandidates[0]!.port)
    for (const id of sender.producerIds) await Promise.all([first.gets(id), second.gets(id)])
    // And the other way round.
    const back = await send(carla, ['audio'])
    const heard = await receive(anna, back.producerIds)
    await heard.gets(back.producerIds[0]!)
    for (const one of [sender, first, second, back, heard]) one.close()
  })

  test('a connection that is lost and comes back in time is missed by nobody', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    const [audio] = sender.producerIds as [string]
    await receiver.gets(audio)
    const { participantId } = anna.joined!
    await anna.port.voiceDetach({ participant: anna.participant })
    stack.clock.advance(20_000)
    await receiver.gets(audio, 60)
    anna.connectionId = crypto.randomUUID()
    const { joined } = await anna.join(channel.id, { resume: participantId })
    expect(joined).toMatchObject({ participantId, resumed: true, kept: { producerIds: sender.producerIds } })
    expect(joined.kept.transports).toEqual([{ id: sender.transport.id, direction: 'send' }])
    await receiver.gets(audio)
    expect(bert.heard('voice.producerRemoved')).toEqual([])

    // Not in time.
    await anna.port.voiceDetach({ participant: anna.participant })
    stack.clock.advance(31_000)
    await bert.hears('voice.producerRemoved', ({ producerId }) => producerId === audio)
    await eventually(async () => (await anna.state()) === undefined)
    sender.close()
    receiver.close()
  })
})

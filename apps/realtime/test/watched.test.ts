import { describe, expect, test } from 'bun:test'
import { receive, send } from './support/media.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`what nobody receives need not be sent${skipped}`, () => {
  test('who shows a camera to nobody is told, and at once when somebody looks again; sound is excepted', async () => {
    await using stack = await startNodes(1, { unwatchedAfterMs: 2_000 })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    for (const one of [anna, bert]) await one.join(channel.id)
    const sender = await send(anna)
    const [, camera] = sender.producerIds
    const of = { channelId: channel.id, producerId: camera! }
    expect(await anna.hears('voice.producerWatched')).toEqual({ ...of, watched: false })
    const receiver = await receive(bert, sender.producerIds)
    await anna.hears('voice.producerWatched', ({ watched }) => watched)
    await receiver.gets(camera!)
    const { participant, port } = bert
    const { id: consumerId } = receiver.consumers.find(({ kind }) => kind === 'video')!
    const told = () => anna.heard('voice.producerWatched').map(({ watched }) => watched)
    // To and fro within the time is nothing to tell of.
    await port.voicePause({ participant, consumerId })
    await port.voiceResume({ participant, consumerId })
    // One's own pause is not nobody's looking.
    await port.voicePause({ participant: anna.participant, producerId: camera! })
    await Bun.sleep(2_500)
    expect(told()).toEqual([false, true])
    await port.voiceResume({ participant: anna.participant, producerId: camera! })
    await port.voicePause({ participant, consumerId })
    await anna.hears('voice.producerWatched', () => told().length === 3)
    await port.voiceResume({ participant, consumerId })
    await anna.hears('voice.producerWatched', () => told().length === 4)
    // Whoever leaves looks no more.
    await bert.leave()
    await anna.hears('voice.producerWatched', () => told().length === 5)
    expect(told()).toEqual([false, true, false, true, false])
    expect(anna.heard('voice.producerWatched').every(({ producerId }) => producerId === camera)).toBe(true)
    for (const one of [sender, receiver]) one.close()
  })

  test('who comes back is told again what nobody receives, after the answer', async () => {
    await using stack = await startNodes(1, { unwatchedAfterMs: 50 })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await anna.join(channel.id)
    const producerId = await anna.produce('screen')
    await anna.hears('voice.producerWatched')
    const { notice, joined } = await anna.join(channel.id, { resume: anna.joined!.participantId })
    expect(joined.resumed).toBe(true)
    const again = anna.told.at(-1)!
    expect(again).toMatchObject({ t: 'voice.producerWatched', d: { producerId, watched: false } })
    expect(again.i).toBe(notice + 1)
  })
})

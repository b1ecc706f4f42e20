import { describe, expect, test } from 'bun:test'
import type { Channel } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const problem = (code: string) => expect.objectContaining({ code })

withWorker(`what a channel lets its calls be${skipped}`, () => {
  const change = async (stack: Awaited<ReturnType<typeof startNodes>>, channel: Channel, fields: Partial<Channel>) => {
    Object.assign(stack.authority.snapshot.channels.find(({ id }) => id === channel.id)!, fields)
    await stack.authority.changed()
  }

  test('as many as it has places, but for who may move people; a change holds at once', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.authority.channel({ type: 'voice', userLimit: 1 })
    const [anna, bert] = [await stack.person(), await stack.person()]
    const mover = await stack.person({ permissions: ['voice.move'] })
    await anna.join(channel.id)
    await expect(bert.join(channel.id)).rejects.toEqual(problem('voice.full'))
    await mover.join(channel.id)
    // Who is in it may come again.
    await anna.join(channel.id)
    await change(stack, channel, { userLimit: 3 })
    await bert.join(channel.id)
    // Nobody is sent out by a smaller one.
    await change(stack, channel, { userLimit: 1 })
    await eventually(async () => (await bert.state())?.channelId === channel.id)
  })

  test('nobody is moved to where there is no place for them', async () => {
    await using stack = await startNodes(1)
    const [here, full] = [await stack.voiceChannel(), await stack.authority.channel({ type: 'voice', userLimit: 1 })]
    const [anna, bert] = [await stack.person(), await stack.person()]
    const mover = await stack.person({ permissions: ['voice.move'] })
    await anna.join(here.id)
    await bert.join(full.id)
    await eventually(() => bert.state())
    await expect(mover.moderate(anna, 'move', full.id)).rejects.toEqual(problem('voice.cannotMoveThere'))
    expect(anna.heard('voice.moved')).toEqual([])
    expect(stack.audited.filter(({ action }) => action === 'voice.moved')).toEqual([])
    // Who may move people has a place everywhere.
    await mover.join(here.id)
    await mover.moderate(mover, 'move', full.id)
    await mover.hears('voice.moved')
    await change(stack, full, { userLimit: 2 })
    await mover.moderate(anna, 'move', full.id)
    await anna.hears('voice.moved')
  })

  test('as many as it lets show something, each as much as they may', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.authority.channel({ type: 'voice', videoLimit: 1 })
    const [anna, bert] = [await stack.person(), await stack.person()]
    for (const one of [anna, bert]) await one.join(channel.id)
    const { id: transportId } = await anna.transport('send')
    const first = await anna.produce('camera', transportId)
    await anna.produce('screen', transportId)
    await expect(bert.produce('camera')).rejects.toEqual(problem('voice.videoFull'))
    await bert.produce('microphone')
    await change(stack, channel, { videoLimit: 0 })
    await anna.port.voiceCloseProducer({ participant: anna.participant, producerId: first })
    await anna.produce('camera', transportId)
    await expect(bert.produce('screen')).rejects.toEqual(problem('voice.videoFull'))
    await change(stack, channel, { videoLimit: null })
    await bert.produce('screen')
  })

  test('of those who begin to show something at the same moment no more than there is room for', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.authority.channel({ type: 'voice', videoLimit: 2 })
    const people = await Promise.all(Array.from({ length: 6 }, () => stack.person()))
    const transports: string[] = []
    for (const one of people) {
      await one.join(channel.id)
      transports.push((await one.transport('send')).id)
    }
    const all = await Promise.allSettled(people.map((one, index) => one.produce('camera', transports[index]!)))
    const refused = all.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    expect(refused).toEqual(Array(4).fill(problem('voice.videoFull')))
    await eventually(async () => {
      const { states } = await stack.port.voiceStates({})
      return states.filter(({ camera }) => camera).length === 2
    })
    // Whoever was refused has left nothing, and may come next.
    const shows = people[all.findIndex(({ status }) => status === 'fulfilled')]!
    const next = all.findIndex(({ status }) => status === 'rejected')
    await shows.leave()
    await people[next]!.produce('camera', transports[next]!)
  })

  test('no louder than it says: told to senders by the codec, as they join', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.authority.channel({ type: 'voice', audioBitrate: 24_000 })
    const anna = await stack.person()
    const opusOf = ({ joined }: Awaited<ReturnType<typeof anna.join>>) =>
      joined.rtpCapabilities.codecs.find(({ mimeType }) => mimeType === 'audio/opus')
    expect(opusOf(await anna.join(channel.id))?.parameters).toMatchObject({ maxaveragebitrate: 24_000, usedtx: 1 })
    await anna.produce('microphone')
    await change(stack, channel, { audioBitrate: null })
    expect(opusOf(await anna.join(channel.id))?.parameters).not.toHaveProperty('maxaveragebitrate')
  })
})

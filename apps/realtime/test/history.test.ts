import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`what nodes tell of calls${skipped}`, () => {
  test('who came and went, why, and what for', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const mover = await stack.person({ permissions: ['voice.move'] })
    const { callId, participantId } = (await anna.join(channel.id)).joined
    await mover.join(channel.id)
    await anna.produce('camera')
    await mover.moderate(anna, 'disconnect')
    await mover.leave()
    const over = await eventually(() => {
      const told = stack.messaging.told.filter(({ leftAt }) => leftAt !== null)
      return told.length === 2 ? told : undefined
    })
    expect(over).toMatchObject([
      { id: participantId, callId, userId: anna.userId, ending: 'disconnected', camera: true, screen: false, peak: 2 },
      { callId, userId: mover.userId, ending: 'left', camera: false, spoke: false, peak: 2 },
    ])
    expect(over.every(({ joinedAt, leftAt }) => joinedAt <= leftAt!)).toBeTrue()
  })

  test('is kept while nobody takes it, and told in the end', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const people = [await stack.person(), await stack.person()]
    stack.messaging.state.away = true
    for (const one of people) await one.join(channel.id)
    for (const one of people) await one.leave()
    await eventually(() => stack.messaging.state.refused > 1)
    expect(stack.messaging.told).toEqual([])
    stack.messaging.state.away = false
    const over = () => stack.messaging.told.filter(({ leftAt }) => leftAt !== null)
    await eventually(() => over().length >= 2)
    expect(new Set(over().map(({ userId }) => userId))).toEqual(new Set(people.map(({ userId }) => userId)))
  }, 20_000)

  test('a participation that is resumed is the same one, and a node that stops tells that it was interrupted', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { participantId } = (await anna.join(channel.id)).joined
    await eventually(() => stack.messaging.told.length > 0)
    expect((await anna.join(channel.id, { resume: participantId })).joined).toMatchObject({ resumed: true })
    for (const { service } of stack.nodes) await service.stop()
    const ids = new Set(stack.messaging.told.map(({ id }) => id))
    expect([...ids]).toEqual([participantId])
    expect(stack.messaging.told.at(-1)).toMatchObject({ ending: 'interrupted', leftAt: expect.any(String) })
  })
})

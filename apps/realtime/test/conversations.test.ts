import { describe, expect, test } from 'bun:test'
import { type Conversation, decodeNews, subjects, userStream, type VoiceEventData } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import type { Person } from './support/person.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const problem = (code: string) => expect.objectContaining({ code })

type Stack = Awaited<ReturnType<typeof startNodes>>
type Ringing = { t: 'voice.ringing'; d: VoiceEventData['voice.ringing'] }
type Stopped = { t: 'voice.ringingStopped'; d: VoiceEventData['voice.ringingStopped'] }

/** What somebody's devices hear of calls, on their own stream. */
async function devicesOf(stack: Stack, { userId }: Person) {
  const heard: (Ringing | Stopped)[] = []
  await stack.bus.subscribe(subjects.stream(userStream(userId)), (payload) => {
    heard.push(JSON.parse(decodeNews(payload).frame))
  })
  return {
    heard,
    rings: () => heard.flatMap((one) => (one.t === 'voice.ringing' ? [one.d] : [])),
    stops: () => heard.flatMap((one) => (one.t === 'voice.ringingStopped' ? [one.d] : [])),
  }
}

async function scene(count: number, nodes = 1) {
  const stack = await startNodes(nodes)
  const people: Person[] = []
  for (let i = 0; i < count; i += 1) people.push(await stack.person({ node: i % nodes }))
  const conversation: Conversation = stack.messaging.conversation(people.map(({ userId }) => userId))
  return { stack, people, conversation, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

withWorker(`calls in conversations${skipped}`, () => {
  test('are for who takes part in them; nobody else finds one, and nobody moderates', async () => {
    await using all = await scene(2)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    const carla = await stack.person({ permissions: ['administrator'] })
    await expect(carla.join(conversation.id)).rejects.toEqual(problem('channel.notFound'))
    await expect(anna.join(newId())).rejects.toEqual(problem('channel.notFound'))
    await anna.join(conversation.id)
    expect((await bert.join(conversation.id)).joined.states).toHaveLength(2)
    await anna.produce('camera')
    await bert.hears('voice.producerAdded')
    await expect(anna.moderate(bert, 'mute')).rejects.toEqual(problem('access.forbidden'))
    await expect(anna.moderate(bert, 'disconnect')).rejects.toEqual(problem('access.forbidden'))
    await expect(
      carla.port.voiceModerate({ ...(await asked(carla)), channelId: conversation.id, userId: anna.userId }),
    ).rejects.toEqual(problem('channel.notFound'))
  })

  test('whoever is taken out of the group is out of its call at once', async () => {
    await using all = await scene(3)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    await anna.join(conversation.id)
    await bert.join(conversation.id)
    await stack.messaging.change(conversation, { without: bert.userId })
    expect(await bert.hears('voice.ended')).toMatchObject({ reason: 'forbidden', rejoin: false })
    await expect(bert.join(conversation.id)).rejects.toEqual(problem('channel.notFound'))
    expect(anna.heard('voice.ended')).toEqual([])
  })

  test('of two who have fallen out neither calls the other, and a call of theirs is over', async () => {
    await using all = await scene(2)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    await anna.join(conversation.id)
    await bert.join(conversation.id)
    await stack.messaging.change(conversation, { blocks: true })
    for (const one of [anna, bert]) expect(await one.hears('voice.ended')).toMatchObject({ reason: 'forbidden' })
    for (const one of [anna, bert]) {
      await expect(one.join(conversation.id)).rejects.toEqual(problem('conversation.notAccepted'))
    }
  })

  test('while messaging is away nobody is taken out, and channels have their calls all the same', async () => {
    await using all = await scene(2)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    const channel = await stack.voiceChannel()
    await anna.join(conversation.id)
    stack.messaging.state.away = true
    stack.clock.advance(11_000)
    await stack.authority.changed()
    await expect(bert.join(conversation.id)).rejects.toEqual(problem('dependency.away'))
    await bert.join(channel.id)
    expect(anna.heard('voice.ended')).toEqual([])
  })
})

const asked = async ({ caller }: Person) => ({ caller, reason: null, action: 'disconnect' as const })

withWorker(`ringing${skipped}`, () => {
  test('a call in a conversation rings the others until they answer, decline, or it is over', async () => {
    await using all = await scene(4)
    const { stack, people, conversation } = all
    const [anna, bert, carla, doris] = people as [Person, Person, Person, Person]
    const [annas, berts, carlas, dorises] = await Promise.all(people.map((one) => devicesOf(stack, one)))
    const { callId } = (await anna.join(conversation.id)).joined
    const ring = { channelId: conversation.id, callId, userId: anna.userId, expiresAt: expect.any(String) }
    for (const devices of [berts!, carlas!, dorises!]) await eventually(() => devices.rings().length === 1)
    expect(berts!.rings()).toEqual([ring])
    await bert.join(conversation.id)
    const stopped = (one: Person, reason: string) => ({
      channelId: conversation.id,
      callId,
      userId: one.userId,
      reason,
    })
    await eventually(() => berts!.stops().length === 1)
    expect(berts!.stops()).toEqual([stopped(bert, 'answered') as never])
    expect(await anna.hears('voice.ringingStopped')).toEqual(stopped(bert, 'answered') as never)
    for (const _ of [1, 2]) await stack.port.voiceDecline({ channelId: conversation.id, userId: carla.userId })
    await eventually(() => carlas!.stops().length === 1)
    await anna.hears('voice.ringingStopped', ({ reason }) => reason === 'declined')
    expect(carlas!.stops()).toEqual([stopped(carla, 'declined') as never])
    await anna.leave()
    expect(dorises!.stops()).toEqual([])
    await bert.leave()
    await eventually(() => dorises!.stops().length === 1)
    expect(dorises!.stops()).toEqual([stopped(doris, 'ended') as never])
    expect(annas!.heard).toEqual([])
  })

  test('it is said again to devices that come later, and ends where nobody answers, however the clock is set meanwhile', async () => {
    await using all = await scene(2)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    await anna.join(conversation.id)
    const late = await devicesOf(stack, bert)
    await eventually(() => late.rings().length > 0, 10_000)
    stack.clock.set(-86_400_000)
    stack.clock.advance(61_000)
    await eventually(() => late.stops().length > 0, 10_000)
    expect(late.stops()).toMatchObject([{ userId: bert.userId, reason: 'expired' }])
    // It was given up; the call goes on.
    expect((await anna.state())?.channelId).toBe(conversation.id)
  }, 30_000)

  test('whoever leaves the group is called no more; nobody is for a call that only came back, or in a channel', async () => {
    await using all = await scene(3, 2)
    const { stack, people, conversation } = all
    const [anna, bert] = people as [Person, Person]
    const berts = await devicesOf(stack, bert)
    const { participantId } = (await anna.join(conversation.id)).joined
    await eventually(() => berts.rings().length === 1)
    await stack.messaging.change(conversation, { without: bert.userId })
    await eventually(() => berts.stops().length === 1)
    const carlas = await devicesOf(stack, people[2]!)
    await anna.leave()
    await eventually(() => carlas.stops().length === 1)
    await anna.join(conversation.id, { resume: participantId })
    await anna.leave()
    await anna.join((await stack.voiceChannel()).id)
    expect([berts.rings().length, carlas.rings().length]).toEqual([1, 0])
  })
})

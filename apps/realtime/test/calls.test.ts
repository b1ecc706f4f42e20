import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { capabilities, vp8 } from '@conntext/testing/media'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const problem = (code: string) => expect.objectContaining({ code })

withWorker(`joining and leaving${skipped}`, () => {
  test('one joins, is seen, and leaves nothing behind', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { joined, notice } = await anna.join(channel.id)
    expect(notice).toBe(0)
    expect(joined).toMatchObject({ channelId: channel.id, resumed: false, producers: [], kept: { transports: [] } })
    expect(joined.rtpCapabilities.codecs.map(({ mimeType }) => mimeType)).toContain('audio/opus')
    expect(joined.states).toHaveLength(1)
    await eventually(async () => (await anna.state())?.selfMuted)
    await anna.leave()
    await eventually(async () => (await anna.state()) === undefined)
    expect(anna.told).toEqual([])
  })

  test('who may not see the channel is not told of it; who may not connect is refused, and it is recorded', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const text = await stack.authority.channel()
    const anna = await stack.person()
    await expect(anna.join(text.id)).rejects.toEqual(problem('voice.notAVoiceChannel'))
    await expect(anna.join(anna.userId)).rejects.toEqual(problem('channel.notFound'))
    const deny = (permission: 'voice.connect' | 'channel.view') =>
      stack.authority.snapshot.overrides.push({
        ...{ channelId: channel.id, targetKind: 'member', targetId: anna.userId, allow: [], deny: [permission] },
      })
    deny('voice.connect')
    await stack.authority.changed()
    await expect(anna.join(channel.id)).rejects.toEqual(problem('access.forbidden'))
    await eventually(() =>
      stack.audited.some(({ action, actor }) => action === 'access.refused' && actor.id === anna.userId),
    )
    deny('channel.view')
    await stack.authority.changed()
    await expect(anna.join(channel.id)).rejects.toEqual(problem('channel.notFound'))
    expect((await stack.port.voiceStates({})).states).toEqual([])
  })

  test('an account is in one call: joining elsewhere ends what was before', async () => {
    await using stack = await startNodes(1)
    const [one, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const anna = await stack.person()
    await anna.join(one.id)
    const before = anna.participant
    const { connectionId } = anna
    anna.connectionId = crypto.randomUUID()
    await anna.join(other.id)
    await expect(stack.port.voiceStats({ participant: before })).rejects.toEqual(problem('voice.notInCall'))
    await eventually(async () => (await anna.state())?.channelId === other.id)
    expect((await stack.port.voiceStates({})).states).toHaveLength(1)
    // The connection that was first is told.
    anna.connectionId = connectionId
    expect(anna.told).toEqual([])
  })

  test('a call is full at its limit, but for who may move people', async () => {
    await using stack = await startNodes(1, { maxParticipants: 2 })
    const channel = await stack.voiceChannel()
    const people = [await stack.person(), await stack.person(), await stack.person()]
    const mover = await stack.person({ permissions: ['voice.move'] })
    const outcomes = await Promise.allSettled(people.map((one) => one.join(channel.id)))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    const refused = outcomes.find((one) => one.status === 'rejected')
    expect(refused).toMatchObject({ reason: { code: 'voice.full' } })
    await mover.join(channel.id)
    // Who is in it may come again.
    const inside = people.find(({ joined }) => joined)!
    await inside.join(channel.id)
  })

  test('without a worker it says so, and keeps nothing', async () => {
    await using stack = await startNodes(1, { workers: 0 })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await expect(anna.join(channel.id)).rejects.toEqual(problem('voice.away'))
    expect((await stack.port.voiceStates({})).states).toEqual([])
  })
})

withWorker(`producers and what the others hear of them${skipped}`, () => {
  test('what one sends is told to the others, and to who comes later', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const producerId = await anna.produce()
    const producer = {
      id: producerId,
      userId: anna.userId,
      kind: 'audio',
      source: 'microphone',
      paused: false,
    } as const
    expect(await bert.hears('voice.producerAdded')).toEqual({ channelId: channel.id, producer })
    expect(anna.told).toEqual([])
    const carla = await stack.person()
    expect((await carla.join(channel.id)).joined.producers).toEqual([producer])
    await eventually(async () => (await anna.state())?.selfMuted === false)
    await anna.port.voicePause({ participant: anna.participant, producerId })
    expect((await bert.hears('voice.producerUpdated')).producer.paused).toBe(true)
    await eventually(async () => (await anna.state())?.selfMuted)
    await anna.port.voiceCloseProducer({ participant: anna.participant, producerId })
    await bert.hears('voice.producerRemoved', (gone) => gone.producerId === producerId)
    // Numbers rise by one, for each by themselves.
    for (const one of [bert, carla]) expect(one.told.map(({ i }) => i)).toEqual(one.told.map((_, index) => index + 1))
  })

  test('what is received already is answered again; of simulcast one prefers a layer, of anything else it says nothing', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const { participant, port } = bert
    const { producerId } = await port.voiceProduce({
      ...{ participant: anna.participant, transportId: (await anna.transport('send')).id },
      ...{ kind: 'video', source: 'camera' },
      rtpParameters: { ...vp8(), encodings: [{ ssrc: 11 }, { ssrc: 12 }, { ssrc: 13, scaleResolutionDownBy: 1 }] },
    })
    const { id: transportId } = await bert.transport('recv')
    const [one, same] = await Promise.all([
      port.voiceConsume({ participant, transportId, producerId }),
      port.voiceConsume({ participant, transportId, producerId }),
    ])
    expect(one).toMatchObject({ producerId, type: 'simulcast', paused: true })
    expect(same).toEqual(one)
    await port.voiceSetPreferredLayers({ participant, consumerId: one.id, spatialLayer: 1, temporalLayer: 0 })
    expect((await port.voiceStats({ participant })).streams).toMatchObject([{ id: one.id, of: 'consumer' }])
    const opusOnly = await stack.person()
    await opusOnly.join(channel.id, { rtpCapabilities: { codecs: capabilities.codecs.slice(0, 1) } })
    const own = { participant: opusOnly.participant, transportId: (await opusOnly.transport('recv')).id }
    await expect(port.voiceConsume({ ...own, producerId })).rejects.toEqual(problem('voice.cannotConsume'))
  })

  test('each source takes its permission, and has its kind and its number', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await anna.join(channel.id)
    const { id } = await anna.transport('send')
    await anna.produce('microphone', id)
    await expect(anna.produce('microphone', id)).rejects.toEqual(problem('voice.tooManyStreams'))
    await anna.produce('camera', id)
    await anna.produce('screen', id)
    await anna.produce('screenAudio', id)
    await eventually(async () => {
      const state = await anna.state()
      return state?.camera && state.screen
    })
    stack.authority.snapshot.overrides.push({
      ...{ channelId: channel.id, targetKind: 'member', targetId: anna.userId, allow: [] },
      deny: ['voice.video', 'voice.share', 'voice.speak'],
    })
    await stack.authority.changed()
    await eventually(async () => {
      const state = await anna.state()
      return state?.suppressed && !state.camera && !state.screen
    })
    for (const source of ['camera', 'screen', 'screenAudio'] as const) {
      await expect(anna.produce(source, id)).rejects.toEqual(problem('access.forbidden'))
    }
  })

  test('somebody else has no part in what is mine', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const { id: transportId } = await anna.transport('send')
    const producerId = await anna.produce('microphone', transportId)
    const participant = bert.participant
    const { port } = bert
    await expect(port.voiceCloseProducer({ participant, producerId })).rejects.toEqual(problem('voice.noSuchProducer'))
    await expect(port.voicePause({ participant, producerId })).rejects.toEqual(problem('voice.noSuchProducer'))
    await expect(port.voiceRestartIce({ participant, transportId })).rejects.toEqual(problem('voice.noSuchTransport'))
    await expect(bert.produce('microphone', transportId)).rejects.toEqual(problem('voice.noSuchTransport'))
    for (const forged of [
      { ...anna.participant, userId: bert.userId },
      { ...anna.participant, connectionId: bert.connectionId },
      { ...anna.participant, channelId: bert.userId },
      { ...anna.participant, participantId: bert.userId },
    ]) {
      await expect(port.voiceCloseProducer({ participant: forged, producerId })).rejects.toEqual(
        problem('voice.notInCall'),
      )
    }
    await port.voiceLeave({ participant: { ...anna.participant, connectionId: bert.connectionId } })
    expect((await stack.port.voiceStats({ participant: anna.participant })).streams).toHaveLength(1)
  })
})

withWorker(`moderating${skipped}`, () => {
  test('a moderator mutes for as long as the call lasts; it is recorded before it is done', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const maria = await stack.person({ permissions: ['voice.moderate'] })
    for (const one of [anna, bert]) await one.join(channel.id)
    const producerId = await anna.produce()
    await maria.moderate(anna, 'mute')
    expect(stack.audited).toMatchObject([{ action: 'voice.muted', target: { id: anna.userId } }])
    expect((await bert.hears('voice.producerUpdated')).producer).toMatchObject({ id: producerId, paused: true })
    await anna.port.voiceResume({ participant: anna.participant, producerId })
    const { joined } = await bert.join(channel.id)
    expect(joined.producers).toMatchObject([{ id: producerId, paused: true }])
    await anna.leave()
    await anna.join(channel.id)
    expect(anna.joined!.states.find(({ userId }) => userId === anna.userId)?.muted).toBe(true)
    const again = await anna.produce()
    expect((await bert.hears('voice.producerAdded', ({ producer }) => producer.id === again)).producer.paused).toBe(
      true,
    )
    await maria.moderate(anna, 'unmute')
    await bert.hears('voice.producerUpdated', ({ producer }) => producer.id === again && !producer.paused)
  })

  test('moving tells where to, disconnecting ends; neither from below nor without the permission', async () => {
    await using stack = await startNodes(1)
    const [here, there] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const anna = await stack.person()
    const maria = await stack.person({ permissions: ['voice.move'] })
    const owner = await stack.person({ owner: true })
    await anna.join(here.id)
    await owner.join(here.id)
    await expect(anna.moderate(owner, 'disconnect')).rejects.toEqual(problem('access.forbidden'))
    await expect(maria.moderate(owner, 'disconnect')).rejects.toEqual(problem('access.forbidden'))
    await expect(maria.moderate(anna, 'mute')).rejects.toEqual(problem('access.forbidden'))
    await expect(maria.moderate(anna, 'move')).rejects.toEqual(problem('voice.cannotMoveThere'))
    await maria.moderate(anna, 'move', there.id)
    expect(await anna.hears('voice.moved')).toEqual({ channelId: here.id, to: there.id })
    await expect(maria.moderate(anna, 'disconnect')).rejects.toEqual(problem('voice.notInCall'))
    await anna.join(there.id)
    await maria.moderate(anna, 'disconnect')
    expect(await anna.hears('voice.ended')).toEqual({ channelId: there.id, reason: 'disconnected', rejoin: false })
  })
})

withWorker(`what is taken away while one is in a call${skipped}`, () => {
  test('who may not connect, or has no session any more, is out at once', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    await stack.authority.setGrant(anna.userId, { standing: 'banned' })
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'forbidden' })
    await stack.authority.revoke(bert.sessionId, bert.userId)
    expect(await bert.hears('voice.ended')).toMatchObject({ reason: 'forbidden' })
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 0)
  })

  test('the channel goes, and its call with it', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await anna.join(channel.id)
    stack.authority.snapshot.channels = []
    await stack.authority.changed()
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'ended' })
  })

  test('who may not speak is suppressed, and speaks again when they may', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const id = await anna.produce()
    const deny = { channelId: channel.id, targetKind: 'member', targetId: anna.userId, allow: [] } as const
    stack.authority.snapshot.overrides.push({ ...deny, allow: [], deny: ['voice.speak'] })
    await stack.authority.changed()
    await bert.hears('voice.producerUpdated', ({ producer }) => producer.id === id && producer.paused)
    stack.authority.snapshot.overrides.length = 0
    await stack.authority.changed()
    await bert.hears('voice.producerUpdated', ({ producer }) => producer.id === id && !producer.paused)
  })
})

import { expect, test } from 'bun:test'
import { FakeMediaStreamTrack } from 'fake-mediastreamtrack'
import { ConnectionLost, ProblemError } from '../src/index.ts'
import { until } from './support.ts'
import { startVoiceServer, voiceOf } from './voice-server.ts'

const track = (kind: 'audio' | 'video' = 'audio') => new FakeMediaStreamTrack({ kind }) as unknown as MediaStreamTrack
const microphone = { source: 'microphone' } as const
const sound = { id: 'sound', userId: 'you', kind: 'audio', source: 'microphone', paused: false } as const
const picture = { id: 'picture', userId: 'you', kind: 'video', source: 'camera', paused: false } as const

test('what can be received is told once the server has said what it has, and from the first moment on next time', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  expect(server.ops()).toEqual(['join', 'join'])
  const [first, second] = server.asked as unknown as { rtpCapabilities: { codecs: object[] }; resume?: string }[]
  expect(first!.rtpCapabilities).toEqual({ codecs: [] })
  expect(first!.resume).toBeUndefined()
  expect(second!.rtpCapabilities.codecs.length).toBeGreaterThan(1)
  expect(second!.resume).toBe(server.media.participantId)
  voice.leave()
  await voice.join('hall')
  expect(server.ops()).toEqual(['join', 'join', 'leave', 'join'])
  expect(log).toEqual(['state joining', 'state joined', 'state idle', 'ended left', 'state joining', 'state joined'])
  gateway.close()
})

test('a track is sent, muted, told about and ended, and is never stopped', async () => {
  using server = startVoiceServer()
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const own = track()
  const publication = await voice.publish(own, microphone)
  expect(server.ops().slice(2)).toEqual(['createTransport', 'connectTransport', 'produce'])
  expect(server.last('produce')).toMatchObject({ kind: 'audio', source: 'microphone', paused: false })
  publication.mute()
  publication.unmute()
  publication.mute()
  await until(() => server.ops().includes('pause'))
  expect(server.last('pause')).toMatchObject({ producerId: publication.producerId })
  expect(server.ops()).not.toContain('resume')
  await publication.replaceTrack(track())
  publication.close()
  await until(() => server.media.kept.producerIds.length === 0)
  expect(voice.publications).toEqual([])
  expect(own.readyState).toBe('live')
  voice.setSelfMuted(true)
  await voice.publish(own, microphone)
  expect(server.last('produce')).toMatchObject({ paused: true })
  gateway.close()
})

test('what is not sent any more is closed at the server too, whatever comes in between', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const closeRefused = async (...refusals: { status: number; code: string }[]) => {
    const publication = await voice.publish(track('video'), { source: 'camera' })
    server.refusals.set('voice.closeProducer', refusals)
    publication.close()
    await until(() => server.media.kept.producerIds.length === 0)
  }
  const away = { status: 503, code: 'voice.away' }
  await closeRefused(away, away)
  expect(log).not.toContain('interrupted false')
  // The server knows of one's part in the call by another connection: one comes again, and then is heard.
  await closeRefused({ status: 404, code: 'voice.notInCall' }, away)
  expect(log).toContain('recovered true')
  expect(voice.publications).toEqual([])
  // One that is closed already is none to be closed again.
  const publication = await voice.publish(track('video'), { source: 'camera' })
  server.refusals.set('voice.closeProducer', [{ status: 404, code: 'voice.noSuchProducer' }])
  server.asked.length = 0
  publication.close()
  await voice.publish(track(), microphone)
  expect(server.ops().filter((op) => op === 'closeProducer')).toHaveLength(1)
  gateway.close()
})

test('who leaves is out, also where that is refused for the moment', async () => {
  using server = startVoiceServer()
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const away = { status: 503, code: 'voice.away' }
  const tooMany = { status: 429, code: 'request.tooMany' }
  server.refusals.set('voice.leave', [away, tooMany])
  voice.leave()
  await until(() => server.ops().filter((op) => op === 'leave').length === 3)
  server.refusals.set('voice.leave', [away])
  await voice.join('hall')
  voice.leave()
  // Who has gone on to another call has left the one before by that.
  await voice.join('cellar')
  for (let trip = 0; trip < 100; trip += 1) await voice.serverStats()
  expect(server.ops().filter((op) => op === 'leave')).toHaveLength(4)
  // Where the connection itself waits with it, it ends that one too.
  server.refusals.set('voice.leave', [tooMany])
  voice.leave()
  await voice.join('hall')
  await until(() => server.ops().slice(-4).join() === 'leave,join,leave,join')
  await until(() => voice.state === 'joined')
  gateway.close()
})

test('what may have been sent already is not sent twice', async () => {
  using server = startVoiceServer()
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  server.refusals.set('voice.produce', [{ status: 503, code: 'dependency.away' }])
  server.media.kept.producerIds.push('orphan')
  const { producerId } = await voice.publish(track(), microphone)
  expect(server.media.kept.producerIds).toEqual([producerId!])
  gateway.close()
})

test('what ends while its receiver asks for it interrupts nobody', async () => {
  using server = startVoiceServer()
  server.media.producers = [picture]
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  server.refusals.set('voice.resumeConsumer', [{ status: 404, code: 'voice.noSuchConsumer' }])
  await voice.subscribe('picture')
  await until(() => server.ops().filter((op) => op === 'resumeConsumer').length === 2)
  expect(server.ops().filter((op) => op === 'consume')).toHaveLength(2)
  expect(log.filter((line) => line.startsWith('interrupted'))).toEqual([])
  gateway.close()
})

test('what is ended while the server is told something else of it is closed there too', async () => {
  using server = startVoiceServer()
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const publication = await voice.publish(track('video'), { source: 'camera' })
  publication.mute()
  // It is said, and not answered yet.
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
  publication.close()
  await until(() => server.media.kept.producerIds.length === 0)
  expect(server.ops().slice(-2)).toEqual(['pause', 'closeProducer'])
  gateway.close()
})

test('a track that ends is not sent any more', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const own = new FakeMediaStreamTrack({ kind: 'video' })
  await voice.publish(own as unknown as MediaStreamTrack, { source: 'screen' })
  own.remoteStop()
  await until(() => server.media.kept.producerIds.length === 0)
  expect(log).toContain('publicationEnded trackEnded')
  gateway.close()
})

test('what somebody sends is received as it is asked for, and quickly again', async () => {
  using server = startVoiceServer()
  server.media.producers = [picture]
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const subscription = await voice.subscribe('picture', { layers: { spatialLayer: 1 } })
  expect(subscription.track?.kind).toBe('video')
  await until(() => server.ops().includes('resumeConsumer'))
  expect(server.last('setPreferredLayers')).toMatchObject({ spatialLayer: 1 })
  subscription.close()
  await until(() => server.ops().includes('pause'))
  expect(voice.subscriptions).toEqual([])
  expect(await voice.subscribe('picture')).toBe(subscription)
  await until(() => server.ops().filter((op) => op === 'resumeConsumer').length === 2)
  expect(server.ops().filter((op) => op === 'consume')).toHaveLength(1)
  server.tell('voice.producerRemoved', { producerId: 'picture', userId: 'you' })
  await until(() => subscription.ended)
  expect(voice.subscribe('picture')).rejects.toThrow('nobody sends that')
  gateway.close()
})

test('all that is sent is received without being asked for, where that is wanted; one’s own is not', async () => {
  using server = startVoiceServer()
  server.media.producers = [sound, { ...sound, id: 'own', userId: 'me' }]
  const { voice, gateway } = await voiceOf(server.peer.baseUrl, { autoSubscribe: ({ kind }) => kind === 'audio' })
  const tracks: string[] = []
  voice.on('track', ({ subscription }) => tracks.push(subscription.producer.id))
  await voice.join('hall')
  const second = { ...sound, id: 'second' }
  server.media.producers.push(picture, second)
  server.tell('voice.producerAdded', { producer: picture })
  server.tell('voice.producerAdded', { producer: second })
  await until(() => tracks.length === 2)
  expect(tracks).toEqual(['sound', 'second'])
  expect(voice.producers.map(({ id }) => id)).toEqual(['sound', 'picture', 'second'])
  gateway.close()
})

test('after a lost connection the same participation goes on, and nothing is sent or received anew', async () => {
  using server = startVoiceServer()
  server.media.producers = [sound]
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl, { autoSubscribe: true })
  await voice.join('hall')
  const publication = await voice.publish(track(), microphone)
  await until(() => server.ops().includes('resumeConsumer'))
  const { producerId } = publication
  const before = server.asked.length
  server.drop()
  await until(() => log.includes('recovered true'))
  await until(() => server.asked.length >= before + 3)
  // What was told last may not have arrived: it is told again.
  expect(server.ops().slice(before)).toEqual(['join', 'resume', 'resumeConsumer'])
  expect(server.asked[before]).toMatchObject({ resume: server.media.participantId })
  expect(publication.producerId).toBe(producerId)
  expect(log.filter((line) => line.startsWith('state') || line.startsWith('producer'))).toEqual([
    'state joining',
    'producerAdded sound',
    'state joined',
    'state interrupted',
    'state joined',
  ])
  gateway.close()
})

test('what was wanted while the connection was away is done afterwards', async () => {
  using server = startVoiceServer()
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  server.silent.add('voice.produce')
  const published = voice.publish(track(), microphone)
  await until(() => server.ops().includes('produce'))
  // It was done, and its answer never came.
  server.media.kept.producerIds.push('orphan')
  server.silent.clear()
  server.drop()
  voice.setSelfDeafened(true)
  const { producerId } = await published
  expect(server.media.kept.producerIds).toEqual([producerId!])
  expect(server.last('join')).toMatchObject({ selfDeafened: true })
  gateway.close()
})

test('what the server has lost of it is made anew, and what is not sent any more is over', async () => {
  using server = startVoiceServer()
  server.media.producers = [sound, picture]
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl, { autoSubscribe: true })
  await voice.join('hall')
  const publication = await voice.publish(track(), microphone)
  await until(() => voice.subscriptions.every((one) => one.track))
  const [heard] = voice.subscriptions
  const before = { producerId: publication.producerId, track: heard!.track }
  server.media.kept = { transports: [], producerIds: [], consumerIds: [] }
  server.media.producers = [sound]
  server.tell('voice.interrupted', { media: false })
  await until(
    () => log.includes('recovered true') && publication.producerId !== undefined && heard!.track !== undefined,
  )
  expect(log).toContain('interrupted false')
  expect(publication.producerId).not.toBe(before.producerId)
  expect(heard!.track).not.toBe(before.track)
  expect(log).toContain('producerRemoved picture')
  expect(server.media.kept.transports.map(({ direction }) => direction).sort()).toEqual(['recv', 'send'])
  gateway.close()
})

test('a participation that is over is begun anew where that may help, and is the end where not', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const publication = await voice.publish(track(), microphone)
  const { participantId } = server.media
  server.tell('voice.ended', { reason: 'lost', rejoin: true })
  await until(() => log.includes('recovered false') && publication.producerId !== undefined)
  expect(server.media.participantId).not.toBe(participantId)
  expect(server.last('join')?.resume).toBeUndefined()
  server.tell('voice.ended', { reason: 'disconnected', rejoin: false })
  await until(() => voice.state === 'idle')
  expect(log.slice(-3)).toEqual(['publicationEnded callEnded', 'state idle', 'ended disconnected'])
  gateway.close()
})

test('who is moved goes along with what they send, unless they don’t want to', async () => {
  using server = startVoiceServer()
  for (const followMoves of [true, false]) {
    const { voice, gateway, log } = await voiceOf(server.peer.baseUrl, { followMoves })
    await voice.join('hall')
    const publication = await voice.publish(track(), microphone)
    server.tell('voice.moved', { to: 'cellar' })
    await until(() => log.includes('ended moved'))
    expect(log).toContain('moved cellar')
    if (followMoves) {
      await until(() => voice.state === 'joined' && publication.producerId !== undefined)
      expect(voice.channelId).toBe('cellar')
    } else {
      expect(voice.state).toBe('idle')
      expect(publication.ended).toBe(true)
    }
    gateway.close()
  }
})

test('what the server refuses is told to who wanted it, and the rest goes on', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const kept = await voice.publish(track(), microphone)
  server.refusals.set('voice.produce', [{ status: 403, code: 'access.forbidden' }])
  const refused = await voice.publish(track('video'), { source: 'camera' }).catch((error) => error)
  expect(refused).toBeInstanceOf(ProblemError)
  expect(log.at(-1)).toBe('publicationEnded refused')
  expect(voice.publications).toEqual([kept])
  server.refusals.set('voice.join', [{ status: 404, code: 'channel.notFound' }])
  expect(await voice.join('nowhere').catch((error) => error.code)).toBe('channel.notFound')
  expect(voice.state).toBe('idle')
  gateway.close()
})

test('one’s own that the server has ended is sent anew, or is over where it may not be', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const publication = await voice.publish(track(), microphone)
  const first = publication.producerId
  server.tell('voice.producerRemoved', { producerId: first, userId: 'me' })
  await until(() => publication.producerId !== undefined && publication.producerId !== first)
  server.refusals.set('voice.produce', [{ status: 403, code: 'access.forbidden' }])
  server.tell('voice.producerRemoved', { producerId: publication.producerId, userId: 'me' })
  await until(() => publication.ended)
  expect(log.at(-1)).toBe('publicationEnded refused')
  gateway.close()
})

test('joining is tried for a while when calls can’t be made, and no longer', async () => {
  using server = startVoiceServer()
  const away = { status: 503, code: 'voice.away' }
  const { voice, gateway } = await voiceOf(server.peer.baseUrl)
  server.refusals.set('voice.join', [away, away, away])
  await voice.join('hall')
  expect(server.ops()).toEqual(['join', 'join', 'join', 'join', 'join'])
  voice.leave()
  server.refusals.set('voice.join', Array(10_000).fill(away))
  const began = performance.now()
  expect(await voice.join('hall').catch((error) => error.code)).toBe('voice.away')
  expect(performance.now() - began).toBeGreaterThan(1_990)
  gateway.close()
})

test('a dead worker is noticed by what fails before it is told, and that comes to the same', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  const publication = await voice.publish(track(), microphone)
  const before = publication.producerId
  server.media.kept = { transports: [], producerIds: [], consumerIds: [] }
  server.refusals.set('voice.produce', [{ status: 409, code: 'voice.noMedia' }])
  server.tell('voice.producerRemoved', { producerId: before, userId: 'me' })
  server.tell('voice.interrupted', { media: false })
  await until(() => log.includes('recovered true') && publication.producerId !== undefined)
  expect(publication.producerId).not.toBe(before)
  expect(log.filter((line) => line.startsWith('interrupted'))).not.toContain('interrupted true')
  expect(publication.ended).toBe(false)
  gateway.close()
})

test('what was about to be sent or received when the connection went is, on the next one', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl, { autoSubscribe: true })
  await voice.join('hall')
  /** The connection goes while this is under way. */
  const interrupt = async () => {
    await until(() => server.last('connectTransport') !== undefined)
    server.silent.clear()
    server.asked.length = 0
    server.media.kept = { transports: [], producerIds: [], consumerIds: [] }
    server.drop()
  }
  server.asked.length = 0
  server.silent.add('voice.connectTransport')
  const published = [
    voice.publish(track(), microphone),
    voice.publish(track('video'), { source: 'camera' }),
    voice.publish(track('video'), { source: 'screen' }),
  ]
  await interrupt()
  const publications = await Promise.all(published)
  expect(new Set(publications.map(({ producerId }) => producerId)).size).toBe(3)
  server.asked.length = 0
  server.silent.add('voice.connectTransport')
  server.media.producers = [sound, picture]
  for (const producer of server.media.producers) server.tell('voice.producerAdded', { producer })
  await interrupt()
  await until(() => voice.subscriptions.length === 2 && voice.subscriptions.every((one) => one.track))
  expect(log.filter((line) => /Ended|Removed/.test(line))).toEqual([])
  gateway.close()
})

test('who can’t make calls here is not left in one', async () => {
  using server = startVoiceServer()
  const handlerFactory = {
    name: 'none',
    factory: () => {
      throw new Error('never')
    },
    getNativeRtpCapabilities: async () => {
      throw Object.assign(new Error('there is no WebRTC'), { name: 'UnsupportedError' })
    },
  }
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl, { handlerFactory })
  await expect(voice.join('hall')).rejects.toThrow('there is no WebRTC')
  await until(() => server.ops().at(-1) === 'leave')
  expect(server.ops()).toEqual(['join', 'leave'])
  expect(log).toEqual(['state joining', 'state idle', 'ended unsupported'])
  expect(voice.state).toBe('idle')
  gateway.close()
})

test('media that is interrupted looks for another way, until there is one', async () => {
  using server = startVoiceServer()
  const { voice, gateway, handlers } = await voiceOf(server.peer.baseUrl)
  await voice.join('hall')
  await voice.publish(track(), microphone)
  const [handler] = handlers
  const restarts = () => server.ops().filter((op) => op === 'restartIce').length
  handler!.setConnectionState('connected')
  handler!.setConnectionState('failed')
  await until(() => restarts() >= 2)
  handler!.setConnectionState('connected')
  const before = restarts()
  // For longer than a pause between two tries.
  for (let trip = 0; trip < 100; trip += 1) await voice.serverStats()
  expect(restarts() - before).toBeLessThan(2)
  // A transport that the server doesn't know is made anew.
  server.refusals.set('voice.restartIce', [{ status: 404, code: 'voice.noSuchTransport' }])
  server.media.kept.transports = []
  server.media.kept.producerIds = []
  handler!.setConnectionState('failed')
  await until(() => handlers.length === 2)
  gateway.close()
})

test('who is in which call is known from the first moment on, as it changes, and no longer than one sees the channel', async () => {
  using server = startVoiceServer()
  const { voice, gateway, log } = await voiceOf(server.peer.baseUrl)
  const state = (userId: string, channelId: string) => ({ userId, channelId, joinedAt: userId })
  server.tell('voice.joined', state('a', 'hall'))
  server.tell('voice.joined', state('b', 'hall'))
  server.tell('voice.updated', state('a', 'hall'))
  server.tell('voice.joined', state('a', 'cellar'))
  // Told late: they are elsewhere by now.
  server.tell('voice.left', { userId: 'a', channelId: 'hall' })
  await until(() => log.length >= 5)
  expect(log).toEqual(['joined a', 'joined b', 'updated a', 'left a', 'joined a'])
  expect(voice.states('hall').map(({ userId }) => userId)).toEqual(['b'])
  server.tell('access.changed', { channels: [], removed: ['cellar'], roleIds: [] })
  await until(() => log.length === 6)
  expect(voice.stateOf('a')).toBeUndefined()
  gateway.close()
})

test('what is asked on one connection only fails with it, and at once where there is none', async () => {
  using server = startVoiceServer()
  const { gateway } = await voiceOf(server.peer.baseUrl)
  server.silent.add('voice.stats')
  const asking = gateway.askOnce('voice.stats', {}).catch((error) => error)
  await until(() => server.ops().includes('stats'))
  server.drop()
  expect(await asking).toBeInstanceOf(ConnectionLost)
  expect(await gateway.askOnce('voice.stats', {}).catch((error) => error)).toBeInstanceOf(ConnectionLost)
  expect(server.ops()).toEqual(['stats'])
  gateway.close()
})

test('who makes no calls loads nothing of them', async () => {
  const textOf = async (entry: string) => {
    const built = await Bun.build({ entrypoints: [new URL(entry, import.meta.url).pathname], target: 'browser' })
    return built.outputs[0]!.text()
  }
  expect(await textOf('../src/index.ts')).not.toContain('mediasoup')
  expect(await textOf('../src/voice/index.ts')).toContain('mediasoup')
})

import { describe, expect, test } from 'bun:test'
import type { ClientFrame, RealtimePort } from '@conntext/contracts'
import { gatewayDefaults } from '@conntext/gateway'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { capabilities, DTLS, opus, receive, send } from '@conntext/testing/media'
import { Caller, type Frame } from './caller.ts'
import { hasWorker, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const { operations, joins } = gatewayDefaults.voice
const defaults = { config: { voice: { operations, joins } } }
/** As many at once, and hardly one more however long it takes. */
const burst = {
  config: { voice: { operations: { ...operations, perSecond: 1 }, joins: { ...joins, perSecond: 0.01 } } },
}
const nobody = newId()

/** Every op that takes somebody who is in a call, with things that nobody has. */
const ops: ClientFrame[] = [
  { op: 'voice.leave' },
  { op: 'voice.createTransport', direction: 'send' },
  { op: 'voice.connectTransport', transportId: nobody, dtlsParameters: DTLS },
  { op: 'voice.produce', transportId: nobody, kind: 'audio', source: 'microphone', rtpParameters: opus() },
  { op: 'voice.consume', transportId: nobody, producerId: nobody },
  { op: 'voice.resumeConsumer', consumerId: nobody },
  { op: 'voice.setPreferredLayers', consumerId: nobody, spatialLayer: 1 },
  { op: 'voice.pause', producerId: nobody },
  { op: 'voice.resume', consumerId: nobody },
  { op: 'voice.closeProducer', producerId: nobody },
  { op: 'voice.restartIce', transportId: nobody },
  { op: 'voice.stats' },
]

withWorker(`what nobody should ask over the gateway${skipped}`, () => {
  test('before identifying, before joining, of another connection, after leaving: each a problem', async () => {
    let asked = 0
    const counting = (port: RealtimePort) =>
      new Proxy(port, {
        get: (ports, name: keyof RealtimePort) => {
          asked += 1
          return ports[name]
        },
      })
    await using stack = await startCalls({ gateways: [{ port: counting }] })
    const channel = await stack.voiceChannel()
    const stranger = new Caller(stack.gateways[0]!.url, { userId: '', sessionId: '', token: '' })
    await stranger.frame(({ op }) => op === 'hello')
    const join: ClientFrame = { op: 'voice.join', channelId: channel.id, rtpCapabilities: capabilities }
    const outcomes = async (caller: Caller) => {
      const found: string[] = []
      for (const op of ops) found.push(await caller.outcome(op))
      return new Set(found)
    }
    expect(await outcomes(stranger)).toEqual(new Set(['gateway.notIdentified']))
    expect(await stranger.outcome(join)).toBe('gateway.notIdentified')
    const anna = await stack.person()
    const second = await stack.person({ member: anna.member })
    await anna.join(channel.id)
    const before = asked
    expect(await outcomes(second)).toEqual(new Set(['voice.notInCall']))
    await anna.leave()
    expect(await outcomes(anna)).toEqual(new Set(['voice.notInCall']))
    // No node has been troubled with it, but for the leave itself.
    expect(asked - before).toBe(1)
    for (const channelId of [nobody, (await stack.authority.channel()).id]) {
      const expected = channelId === nobody ? 'channel.notFound' : 'voice.notAVoiceChannel'
      expect(await anna.outcome({ ...join, channelId })).toBe(expected)
    }
    stranger.close()
  })

  test("what is another's is not there, and what is in order is not disturbed by it", async () => {
    await using stack = await startCalls()
    const [channel, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert, eve] = [await stack.person(), await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    await eve.join(other.id)
    const sending = await send(anna.signalling, ['audio'])
    const receiving = await receive(bert.signalling, sending.producerIds)
    const [producerId] = sending.producerIds
    const transportId = sending.transport.id
    const consumerId = receiving.consumers[0]!.id
    const { id: own } = await eve.transport('recv')
    const foreign: [ClientFrame, string][] = [
      [{ op: 'voice.connectTransport', transportId, dtlsParameters: DTLS }, 'voice.noSuchTransport'],
      [{ ...ops[3]!, transportId } as ClientFrame, 'voice.noSuchTransport'],
      [{ op: 'voice.consume', transportId: own, producerId: producerId! }, 'voice.noSuchProducer'],
      [{ op: 'voice.resumeConsumer', consumerId }, 'voice.noSuchConsumer'],
      [{ op: 'voice.setPreferredLayers', consumerId, spatialLayer: 0 }, 'voice.noSuchConsumer'],
      [{ op: 'voice.pause', producerId: producerId! }, 'voice.noSuchProducer'],
      [{ op: 'voice.closeProducer', producerId: producerId! }, 'voice.noSuchProducer'],
      [{ op: 'voice.restartIce', transportId }, 'voice.noSuchTransport'],
    ]
    for (const [frame, code] of foreign) expect([frame.op, await eve.outcome(frame)]).toEqual([frame.op, code])
    expect((await eve.join(channel.id, { resume: anna.joined!.participantId })).resumed).toBe(false)
    await receiving.gets(producerId!)
    for (const one of [sending, receiving]) one.close()
  })

  test('forged parameters and absurd sizes are refused, and the worker lives', async () => {
    await using stack = await startCalls()
    const channel = await stack.voiceChannel()
    const [anna, eve] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await eve.join(channel.id)
    const { id: transportId } = await eve.transport('send')
    const [codec] = opus().codecs
    const [fingerprint] = DTLS.fingerprints
    const produce = (rtpParameters: object): Frame => ({
      ...{ op: 'voice.produce', transportId, kind: 'audio', source: 'microphone', rtpParameters },
    })
    const parameters = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, at]))
    const misfits: Frame[] = [
      produce({ codecs: Array.from({ length: 1_000 }, () => codec), encodings: [{ ssrc: 1 }] }),
      produce({ codecs: [{ ...codec, parameters: parameters(33) }], encodings: [{ ssrc: 1 }] }),
      produce({ codecs: [{ ...codec, parameters: { a: { b: { c: {} } } } }], encodings: [{ ssrc: 1 }] }),
      produce({ codecs: [codec], encodings: [{ ssrc: 2 ** 40 }] }),
      produce({ codecs: [codec], encodings: [{ ssrc: 1 }], rtcp: { cname: 'x'.repeat(300_000) } }),
      { op: 'voice.connectTransport', transportId, dtlsParameters: { fingerprints: Array(1_000).fill(fingerprint) } },
      { op: 'voice.connectTransport', transportId, dtlsParameters: { fingerprints: [{ ...fingerprint, value: '' }] } },
      { op: 'voice.setPreferredLayers', consumerId: nobody, spatialLayer: 1e9 },
      { op: 'voice.createTransport', direction: 'both' },
      { op: 'voice.consume', transportId: 'x', producerId: '../../' },
      { op: 'voice.join', channelId: channel.id, rtpCapabilities: { codecs: Array(500).fill(capabilities.codecs[0]) } },
    ]
    for (const frame of misfits)
      expect([frame.op, await eve.outcome(frame)]).toEqual([frame.op, 'gateway.invalidFrame'])
    const forged: Frame[] = [
      produce({ codecs: [codec], encodings: [{}] }),
      produce({ codecs: [{ ...codec, mimeType: 'audio/wav' }], encodings: [{ ssrc: 5 }] }),
      produce({ codecs: [codec, codec], encodings: [{ ssrc: 5 }] }),
    ]
    for (const frame of forged) expect(await eve.outcome(frame)).toBe('voice.invalidMedia')
    // What names of properties are is nothing to JSON.
    const odd = `{"codecs":[{"mimeType":"audio/opus","payloadType":111,"clockRate":48000,"channels":2,"parameters":{"__proto__":1,"constructor":"x"}}],"encodings":[{"ssrc":77}]}`
    eve.send(
      `{"op":"voice.produce","id":9000,"transportId":"${transportId}","kind":"audio","source":"microphone","rtpParameters":${odd}}`,
    )
    const reply = await eve.frame((one) => one.op === 'reply' && one.id === 9000)
    expect(['voice.invalidMedia', undefined]).toContain(reply.error?.code)
    for (const [text, code] of [
      ['{"op":"voice.stats","more":1}', 4002],
      ['{"op":"voice.everything"}', 4002],
      ['{"op":"voice.createTransport","direction":"both"}', 4002],
      [`{"op":"voice.stats","id":"${'9'.repeat(gatewayDefaults.socket.maxFrameBytes)}"}`, 1006],
    ] as const) {
      const rude = await stack.person()
      rude.send(text)
      const closed = await eventually(() => rude.closed)
      expect(code === 1006 ? [1006, 1009] : [code]).toContain(closed.code)
    }
    expect(await anna.produce()).toBeString()
    expect((await stack.asked.voiceStatus({})).state).toBe('on')
  })

  test("a flood is answered with 429 and a time, and is its sender's affair alone", async () => {
    await using stack = await startCalls({ gateways: [burst] })
    const channel = await stack.voiceChannel()
    const [anna, eve] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await eve.join(channel.id)
    const from = eve.frames.length
    for (let id = 10_000; id < 11_900; id += 1) eve.send({ op: 'voice.resumeConsumer', id, consumerId: nobody })
    const started = performance.now()
    expect(await anna.outcome({ op: 'voice.stats' })).toBe('ok')
    expect(performance.now() - started).toBeLessThan(10_000)
    const replies = () => eve.frames.slice(from).filter(({ op, id }) => op === 'reply' && id >= 10_000)
    await eventually(() => replies().length === 1_900, 30_000)
    const refused = replies().filter(({ error }) => error.code === 'request.tooMany')
    expect(refused.length).toBeGreaterThan(300)
    expect(refused.length).toBeLessThanOrEqual(401)
    expect(refused[0].error).toMatchObject({ status: 429, code: 'request.tooMany', retryAfter: 1 })
    expect(eve.closed).toBeUndefined()
    // Joining costs more, and is counted for the account.
    const codes: string[] = []
    for (let number = 0; number < 24; number += 1) {
      const one = await stack.person({ member: anna.member })
      codes.push(await one.outcome({ op: 'voice.join', channelId: channel.id, rtpCapabilities: capabilities }))
      one.close()
    }
    expect(codes.slice(0, 19)).toEqual(Array(19).fill('ok'))
    expect(codes.at(-1)).toBe('request.tooMany')
  }, 60_000)

  test('what takes all streams of a call, or is told to everybody, counts for more', async () => {
    await using stack = await startCalls({ gateways: [burst] })
    const channel = await stack.voiceChannel()
    const taken = async (ofProducer: (producerId: string) => object[]) => {
      const eve = await stack.person()
      await eve.join(channel.id)
      const producerId = await eve.produce()
      const frames = ofProducer(producerId)
      for (let id = 0; id < 600; id += 1) eve.send({ ...frames[id % frames.length], id: 10_000 + id })
      const replies = () => eve.frames.filter(({ op, id }) => op === 'reply' && id >= 10_000)
      await eventually(() => replies().length === 600, 30_000)
      eve.close()
      return replies().filter(({ ok }) => ok).length
    }
    // A statement of all, hearing nobody and everybody in turn, being heard and not.
    expect(await taken(() => [{ op: 'voice.stats' }])).toBeLessThan(80)
    expect(await taken(() => [{ op: 'voice.pause' }, { op: 'voice.resume' }])).toBeLessThan(80)
    const heardOrNot = await taken((producerId) => ['pause', 'resume'].map((op) => ({ op: `voice.${op}`, producerId })))
    expect(heardOrNot).toBeGreaterThan(100)
    expect(heardOrNot).toBeLessThan(200)
  }, 60_000)

  test('whoever joins a large call asks for all of it at once, and is not in the way of any limit', async () => {
    await using stack = await startCalls({ gateways: [defaults] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    const producerId = await anna.produce()
    await bert.join(channel.id)
    const { id: transportId } = await bert.transport('recv')
    const { id: consumerId } = await bert.consume(transportId, producerId)
    // As many frames as for a hundred people with a microphone, a camera, a screen and its sound each.
    for (let at = 0; at < 400; at += 1) {
      bert.send({ op: 'voice.consume', id: 20_000 + at, transportId, producerId })
      bert.send({ op: 'voice.resumeConsumer', id: 30_000 + at, consumerId })
    }
    await eventually(() => bert.frames.filter(({ op, id }) => op === 'reply' && id >= 20_000).length === 800, 30_000)
    const replies = bert.frames.filter(({ op, id }) => op === 'reply' && id >= 20_000)
    expect(replies.filter(({ ok }) => !ok)).toEqual([])
    // In the order of asking, within one op.
    const order = replies.map(({ id }) => id).filter((id) => id < 30_000)
    expect(order).toEqual(order.toSorted((one, other) => one - other))
  }, 60_000)

  test('what waits for a node that answers nothing is bounded, and gone with its connection', async () => {
    let waiting = 0
    const stuck = (port: RealtimePort) =>
      new Proxy(port, {
        get: (ports, name: keyof RealtimePort) =>
          name === 'voiceStats'
            ? () => {
                waiting += 1
                return new Promise(() => {})
              }
            : ports[name],
      })
    const unlimited = { perSecond: 0, burst: 0 }
    await using stack = await startCalls({ gateways: [{ port: stuck, config: { socket: { frames: unlimited } } }] })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    for (let id = 1_000; id < 5_000; id += 1) anna.send({ op: 'voice.stats', id })
    await eventually(() => anna.frames.filter(({ op, ok }) => op === 'reply' && ok === false).length === 1_999)
    expect(waiting).toBe(1)
    // Few but large ones are not more.
    await bert.join(channel.id)
    bert.send({ op: 'voice.stats' })
    const large = { ...opus(), rtcp: { cname: 'x' }, headerExtensions: Array(32).fill({ uri: 'u'.repeat(256), id: 1 }) }
    for (let id = 1_000; id < 1_600; id += 1) bert.send({ ...ops[3], id, rtpParameters: large })
    await eventually(() => bert.frames.some(({ ok, id }) => ok === false && id >= 1_000))
    anna.close()
    bert.close()
    await eventually(async () => {
      stack.clock.advance(1_000)
      return (await stack.asked.voiceStates({})).states.length === 0
    })
  }, 30_000)

  test('permissions, sessions and scopes hold at once', async () => {
    await using stack = await startCalls()
    const channel = await stack.voiceChannel()
    const [anna, bert, carla] = [await stack.person(), await stack.person(), await stack.person()]
    for (const one of [anna, bert, carla]) await one.join(channel.id)
    await stack.hide(channel.id, anna.userId, true)
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'forbidden', rejoin: false })
    expect(await anna.outcome({ op: 'voice.stats' })).toBe('voice.notInCall')
    const join: ClientFrame = { op: 'voice.join', channelId: channel.id, rtpCapabilities: capabilities }
    expect(await anna.outcome(join)).toBe('channel.notFound')
    const { sessionId, userId } = bert.member
    await stack.authority.revoke(sessionId, userId)
    expect((await eventually(() => bert.closed)).code).toBe(4004)
    await carla.hears('voice.left', (left) => left.userId === bert.userId)
    const { token } = stack.authority.apiToken(carla.userId, ['channel.view'])
    const limited = await stack.person({ member: { ...carla.member, token } })
    expect(await limited.outcome(join)).toBe('access.forbidden')
    // Elsewhere ends what was here.
    const desk = await stack.person({ member: carla.member })
    await desk.join(channel.id)
    expect(await carla.hears('voice.ended')).toMatchObject({ reason: 'elsewhere' })
    expect(await carla.outcome({ op: 'voice.stats' })).toBe('voice.notInCall')
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemoryBus } from '@conntext/bus'
import { type CallRecord, type Conversation, messagingPort, type Problem, realtimePort } from '@conntext/contracts'
import { createGateway, gatewayConfig } from '@conntext/gateway'
import { callPort, Guard } from '@conntext/http'
import { silentLogger as log } from '@conntext/kernel'
import { createMessagingService } from '@conntext/messaging'
import { openFilesystemStore } from '@conntext/object-store'
import { createRealtimeService } from '@conntext/realtime'
import { locateWorker } from '@conntext/realtime/worker'
import { eventually, testAuthority, testCommunications } from '@conntext/testing'
import { Caller, type Frame, type Member } from './caller.ts'
import { hasWorker, skipped } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const credential = 'credential-of-this-test'
const unlimited = { perSecond: 0, burst: 0 }
const still = async () => ({})
const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })

/** A gateway, a node with a real worker, and messaging over a real database; auth and system are the test's. */
async function startRecorded() {
  const bus = createMemoryBus(log)
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log })
  await guard.start()
  const database = await testCommunications()
  const directory = await mkdtemp(join(tmpdir(), 'conntext-calls-'))
  const messagingService = createMessagingService({
    ...{ db: database.messaging, objects: await openFilesystemStore(directory), bus, log, guard, credential },
    auth: authority.port,
    system: { ingestAudit: still, appendEvents: still },
  })
  await messagingService.start()
  const messaging = callPort(messagingPort, { served: () => messagingService.port })
  const node = createRealtimeService({
    ...{ bus, log, guard, credential, messaging, workers: 1, locate: locateWorker, maxParticipants: 20 },
    network: { port: 0, listen: ['127.0.0.1'], announced: [] },
    ice: { stunUrls: [], turn: undefined, policy: 'all' },
    system: { ingestAudit: still },
  })
  await node.start()
  const realtime = callPort(realtimePort, { served: () => node.port })
  await eventually(async () => (await realtime.voiceStatus({})).state === 'on')
  const silence = {
    streamHeads: async ({ streams }: { streams: string[] }) => ({
      heads: Object.fromEntries(streams.map((stream) => [stream, 0])),
    }),
    streamEvents: async () => ({ events: [], truncated: false }),
  }
  const gateway = createGateway({
    config: gatewayConfig({
      ...{ port: 0, hostname: '127.0.0.1', drainMs: 100 },
      rates: { account: unlimited, address: unlimited, credentials: unlimited },
      voice: { joins: unlimited, operations: unlimited },
    }),
    ...{ log, guard, bus, openapi: {}, asyncapi: '', version: '0.0.0-test' },
    upstreams: {} as never,
    ports: {
      auth: { ownUser: authority.port.ownUser, health },
      system: { ...silence, health },
      ...{ messaging, realtime },
    } as never,
  })
  const url = `ws://127.0.0.1:${(await gateway.start()).port}/v1/gateway`
  const callers: Caller[] = []
  return {
    authority,
    async person(member?: Member) {
      const caller = await Caller.connect(url, member ?? (await authority.member()))
      callers.push(caller)
      return caller
    },
    async json<T>(method: string, path: string, { member }: Caller, body?: object) {
      const response = await messagingService.app.handle(
        new Request(`http://localhost${path}`, {
          method,
          headers: {
            authorization: `Bearer ${member.token}`,
            ...(body ? { 'content-type': 'application/json' } : {}),
          },
          ...(body ? { body: JSON.stringify(body) } : {}),
        }),
      )
      const text = await response.text()
      return (text === '' ? {} : JSON.parse(text)) as T & Partial<Problem>
    },
    async [Symbol.asyncDispose]() {
      for (const caller of callers) caller.close()
      await gateway.stop()
      await node.stop()
      await messagingService.stop()
      await guard.stop()
      await database[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

withWorker(`calls and what is kept of them${skipped}`, () => {
  let stack: Awaited<ReturnType<typeof startRecorded>>
  beforeAll(async () => {
    stack = await startRecorded()
  }, 60_000)
  afterAll(() => stack?.[Symbol.asyncDispose](), 60_000)

  const history = async (of: Caller, channelId: string) =>
    (await stack.json<{ items: CallRecord[] }>('GET', `/v1/calls?channelId=${channelId}`, of)).items
  const over = (of: Caller, channelId: string) =>
    eventually(async () => {
      const calls = await history(of, channelId)
      return calls.length > 0 && calls.every(({ endedAt }) => endedAt !== null) ? calls : undefined
    })
  const conversation = (of: Caller, ...others: Caller[]) =>
    stack.json<Conversation>('POST', '/v1/dms', of, { userIds: others.map(({ userId }) => userId) })
  const event = (of: Caller, t: string, fits: (d: Frame) => boolean = () => true) =>
    of.frame((frame) => frame.t === t && fits(frame.d))

  test('one call is one row, although its worker died and all came back', async () => {
    const channel = await stack.authority.channel({ type: 'voice' })
    const [anna, bert] = [await stack.person(), await stack.person()]
    const { callId } = await anna.join(channel.id)
    await bert.join(channel.id)
    process.kill(workers()[0]!, 'SIGKILL')
    for (const one of [anna, bert]) {
      await event(one, 'voice.interrupted')
      await eventually(() => one.resume(one).catch(() => undefined))
    }
    await anna.leave()
    await bert.leave()
    const calls = await over(anna, channel.id)
    expect(calls).toMatchObject([{ id: callId, ending: 'left', peakParticipants: 2, participantCount: 2 }])
    const { items } = await stack.json<{ items: unknown[] }>('GET', `/v1/calls/${callId}/participations`, bert)
    expect(items).toHaveLength(2)
  })

  test('two people call each other, on all devices, until one has blocked the other', async () => {
    const [anna, bert] = [await stack.person(), await stack.person()]
    const phone = await stack.person(bert.member)
    const { id } = await conversation(anna, bert)
    const { callId } = await anna.join(id)
    for (const device of [bert, phone]) {
      expect((await event(device, 'voice.ringing')).d).toMatchObject({ channelId: id, callId, userId: anna.userId })
    }
    await bert.join(id)
    for (const device of [phone, anna]) {
      const { d } = await event(device, 'voice.ringingStopped')
      expect(d).toMatchObject({ channelId: id, userId: bert.userId, reason: 'answered' })
    }
    // Whoever shares the conversation sees who is in its call.
    await event(phone, 'voice.joined', ({ userId }) => userId === bert.userId)
    const stranger = await stack.person()
    await expect(stranger.join(id)).rejects.toMatchObject({ code: 'channel.notFound' })
    await stack.json('PUT', `/v1/blocks/${anna.userId}`, bert)
    for (const one of [anna, bert]) expect((await event(one, 'voice.ended')).d).toMatchObject({ reason: 'forbidden' })
    await expect(anna.join(id)).rejects.toMatchObject({ code: 'conversation.notAccepted' })
    await expect(bert.join(id)).rejects.toMatchObject({ code: 'conversation.blocked' })
    expect(await over(bert, id)).toMatchObject([{ id: callId, ending: 'forbidden', participantCount: 2 }])
    expect(await history(stranger, id)).toBeUndefined()
  })

  test('who is taken out of a group is out of its call at once; in groups a block changes nothing', async () => {
    const people = [await stack.person(), await stack.person(), await stack.person()]
    const [anna, bert, carla] = people as [Caller, Caller, Caller]
    const { id } = await conversation(anna, bert, carla)
    for (const one of people) await one.join(id)
    await stack.json('PUT', `/v1/blocks/${anna.userId}`, carla)
    await stack.json('DELETE', `/v1/dms/${id}/participants/${bert.userId}`, anna)
    expect((await event(bert, 'voice.ended')).d).toMatchObject({ channelId: id, reason: 'forbidden' })
    await expect(bert.join(id)).rejects.toMatchObject({ code: 'channel.notFound' })
    for (const one of [anna, carla]) await one.leave()
    expect(await over(carla, id)).toMatchObject([{ ending: 'left', participantCount: 3 }])
  })
})

function workers(): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,comm=', '--ppid', String(process.pid)])
  return stdout
    .toString()
    .split('\n')
    .flatMap((line) => (line.includes('mediasoup') ? [Number.parseInt(line, 10)] : []))
}

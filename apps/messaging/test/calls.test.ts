import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { CallPage, CallParticipationPage, CallRecord, CallReport, Conversation } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import type { Static } from '@sinclair/typebox'
import { SILENT_AFTER_MS } from '../src/calls/jobs.ts'
import { audited } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

type Calls = Static<typeof CallPage>
type Participations = Static<typeof CallParticipationPage>

let stack: Stack
beforeAll(async () => {
  stack = await startMessaging()
})
afterAll(() => stack[Symbol.asyncDispose]())

const T0 = Date.parse('2026-03-01T12:00:00.000Z')
const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString()

/** Somebody in a call, as its node tells it. */
const report = (channelId: string, callId: string, userId: string, more: Partial<CallReport> = {}): CallReport => ({
  ...{ id: newId(), callId, channelId, userId, joinedAt: at(0), leftAt: null, ending: null },
  ...{ spoke: false, camera: false, screen: false, peak: 1 },
  ...more,
})

const tell = (...reports: CallReport[]) => stack.port.recordCalls({ reports })
const list = async (member: Member, query = '') => (await stack.json<Calls>('GET', `/v1/calls${query}`, member)).body
const inChannel = async (member: Member, channelId: string) => (await list(member, `?channelId=${channelId}`)).items
const get = (member: Member | undefined, path: string) => stack.json<CallRecord>('GET', `/v1/calls/${path}`, member)
const participations = async (member: Member, id: string, query = '') =>
  (await stack.json<Participations>('GET', `/v1/calls/${id}/participations${query}`, member)).body

async function scene() {
  const channel = await stack.authority.channel({ type: 'voice' })
  const [anna, bert] = [await stack.authority.member(), await stack.authority.member()]
  return { channel, anna, bert, callId: newId() }
}

describe('what nodes tell of calls', () => {
  test('a call is there from the first to the last who is in it, with who was', async () => {
    const { channel, anna, bert, callId } = await scene()
    const one = report(channel.id, callId, anna.userId)
    const two = report(channel.id, callId, bert.userId, { joinedAt: at(10), peak: 2 })
    await tell(one)
    expect(await inChannel(anna, channel.id)).toMatchObject([
      { id: callId, startedAt: at(0), endedAt: null, ending: null, peakParticipants: 1, participantIds: [anna.userId] },
    ])
    await tell({ ...one, spoke: true }, two)
    await tell({ ...one, leftAt: at(60), ending: 'left', peak: 2 })
    expect((await get(bert, callId)).body).toMatchObject({ endedAt: null, participantCount: 2 })
    await tell({ ...two, leftAt: at(90), ending: 'disconnected', screen: true, peak: 2 })
    expect((await get(bert, callId)).body).toEqual({
      ...{ id: callId, channelId: channel.id, startedAt: at(0), endedAt: at(90), ending: 'disconnected', seconds: 90 },
      ...{ peakParticipants: 2, participantCount: 2, participantIds: [anna.userId, bert.userId] },
    })
    expect((await participations(anna, callId)).items).toEqual([
      {
        ...{ id: one.id, userId: anna.userId, joinedAt: at(0), leftAt: at(60), ending: 'left', seconds: 60 },
        ...{ spoke: true, camera: false, screen: false },
      },
      {
        ...{ id: two.id, userId: bert.userId, joinedAt: at(10), leftAt: at(90), ending: 'disconnected', seconds: 80 },
        ...{ spoke: false, camera: false, screen: true },
      },
    ])
  })

  test('the same again, late and all at once, changes nothing', async () => {
    const { channel, anna, bert, callId } = await scene()
    const open = [report(channel.id, callId, anna.userId), report(channel.id, callId, bert.userId, { peak: 2 })]
    const over = open.map((one) => ({ ...one, leftAt: at(5), ending: 'left' as const, peak: 2 }))
    await Promise.all([tell(...open), tell(...open), tell(open[1]!), tell(open[0]!)])
    expect(await inChannel(anna, channel.id)).toHaveLength(1)
    await tell(...over)
    await Promise.all([tell(...open), tell(...over), tell(open[1]!)])
    expect(await inChannel(anna, channel.id)).toMatchObject([{ endedAt: at(5), participantCount: 2 }])
    expect((await participations(anna, callId)).items).toHaveLength(2)
    expect((await audited(stack, 'call.started')).filter(({ target }) => target.id === callId)).toHaveLength(1)
    expect((await audited(stack, 'call.ended')).filter(({ target }) => target.id === callId)).toHaveLength(1)
  })

  test('a call that moves to another node is one call; a new one after its end is another', async () => {
    const { channel, anna, bert, callId } = await scene()
    const before = report(channel.id, callId, anna.userId)
    await tell(before)
    await tell({ ...before, leftAt: at(30), ending: 'interrupted' })
    const elsewhere = newId()
    const after = report(channel.id, elsewhere, anna.userId, { joinedAt: at(31) })
    await tell(after)
    expect(await inChannel(bert, channel.id)).toMatchObject([{ id: callId, startedAt: at(0), endedAt: null }])
    // By either name.
    expect((await get(bert, elsewhere)).body.id).toBe(callId)
    await tell({ ...after, leftAt: at(40), ending: 'left' })
    const another = newId()
    await tell(report(channel.id, another, bert.userId, { joinedAt: at(41), leftAt: at(42), ending: 'left' }))
    expect(await inChannel(bert, channel.id)).toMatchObject([
      { id: another, startedAt: at(41) },
      { id: callId, endedAt: at(40) },
    ])
  })

  test('meetings are audited with their length, not whoever goes in and out alone', async () => {
    const { channel, anna, bert, callId } = await scene()
    const alone = newId()
    await tell(report(channel.id, alone, anna.userId, { leftAt: at(1), ending: 'left' }))
    const one = report(channel.id, callId, anna.userId, { joinedAt: at(2) })
    const two = report(channel.id, callId, bert.userId, { joinedAt: at(3), peak: 2 })
    await tell(one, two)
    await tell({ ...one, leftAt: at(12), ending: 'left' }, { ...two, leftAt: at(11), ending: 'left' })
    const of = async (action: string) =>
      (await audited(stack, action)).filter(({ data }) => (data as { channelId: string }).channelId === channel.id)
    expect(await of('call.started')).toMatchObject([
      { target: { id: callId }, actor: { kind: 'user', id: anna.userId }, data: { channelId: channel.id } },
    ])
    expect(await of('call.ended')).toMatchObject([
      { target: { id: callId }, data: { seconds: 10, participants: 2, peak: 2, ending: 'left' } },
    ])
  })

  test('of channels that are no more, and of accounts that are gone, nothing is taken', async () => {
    const { channel, anna, bert, callId } = await scene()
    await tell(report(channel.id, callId, anna.userId), report(channel.id, callId, bert.userId))
    await stack.port.userDeleted({ userId: anna.userId, messages: 'keep' })
    expect((await get(bert, callId)).body).toMatchObject({ participantIds: [bert.userId] })
    await tell(report(channel.id, callId, anna.userId))
    expect((await get(bert, callId)).body).toMatchObject({ participantIds: [bert.userId] })
    expect((await stack.port.callsOf({ userId: anna.userId })).items).toEqual([])
    stack.authority.snapshot.channels = stack.authority.snapshot.channels.filter(({ id }) => id !== channel.id)
    await stack.authority.changed()
    await stack.port.channelDeleted({ channelId: channel.id })
    await tell(report(channel.id, newId(), bert.userId))
    expect(await stack.sql`select 1 from calls where channel_id = ${channel.id}`).toHaveLength(0)
    expect((await get(bert, callId)).body.code).toBe('call.notFound')
  })

  test('a call that only those were in who are gone is gone', async () => {
    const { channel, anna, callId } = await scene()
    await tell(report(channel.id, callId, anna.userId, { leftAt: at(1), ending: 'left' }))
    await stack.port.userDeleted({ userId: anna.userId, messages: 'keep' })
    expect(await stack.sql`select 1 from calls where id = ${callId}`).toHaveLength(0)
  })
})

describe('reading calls', () => {
  test('only of what one may see', async () => {
    const { channel, anna, bert, callId } = await scene()
    await tell(report(channel.id, callId, anna.userId))
    expect((await get(undefined, callId)).status).toBe(401)
    expect((await stack.json('GET', '/v1/calls')).status).toBe(401)
    const { token } = stack.authority.apiToken(anna.userId, ['message.send'])
    expect((await stack.json('GET', '/v1/calls', { ...anna, token })).body.code).toBe('access.forbidden')
    expect((await get({ ...anna, token }, callId)).body.code).toBe('call.notFound')
    stack.authority.snapshot.overrides.push({
      ...{ channelId: channel.id, targetKind: 'member', targetId: bert.userId, allow: [], deny: ['channel.view'] },
    })
    await stack.authority.changed()
    expect((await get(anna, callId)).status).toBe(200)
    for (const path of [callId, `${callId}/participations`, newId()]) {
      expect(await get(bert, path)).toMatchObject({ status: 404, body: { code: 'call.notFound' } })
    }
    expect((await list(bert)).items.filter(({ id }) => id === callId)).toEqual([])
    expect(await stack.json('GET', `/v1/calls?channelId=${channel.id}`, bert)).toMatchObject({
      status: 404,
      body: { code: 'channel.notFound' },
    })
    expect((await get(anna, 'nonsense')).status).toBe(422)
    expect((await stack.json('GET', '/v1/calls?cursor=x', anna)).status).toBe(422)
    expect((await stack.json('GET', '/v1/calls?userId=me', anna)).status).toBe(422)
  })

  test('of a conversation for who takes part in it', async () => {
    const { anna, bert, callId } = await scene()
    const carla = await stack.authority.member()
    const dm = (await stack.json<Conversation>('POST', '/v1/dms', anna, { userIds: [bert.userId] })).body
    await tell(report(dm.id, callId, anna.userId, { leftAt: at(2), ending: 'left' }))
    expect((await list(bert)).items).toContainEqual(expect.objectContaining({ id: callId, channelId: dm.id }))
    expect((await get(bert, callId)).status).toBe(200)
    expect((await list(carla)).items.filter(({ id }) => id === callId)).toEqual([])
    expect((await get(carla, callId)).status).toBe(404)
  })

  test('by channel and person, a page at a time', async () => {
    const { channel, anna, bert } = await scene()
    const ids = Array.from({ length: 5 }, () => newId())
    for (const [index, id] of ids.entries()) {
      const who = index === 2 ? bert : anna
      const times = { joinedAt: at(index * 10), leftAt: at(index * 10 + 5), ending: 'left' as const }
      await tell(report(channel.id, id, who.userId, times))
    }
    const newest = ids.toReversed()
    const first = await list(anna, `?channelId=${channel.id}&limit=2`)
    expect(first.items.map(({ id }) => id)).toEqual(newest.slice(0, 2))
    const second = await list(anna, `?channelId=${channel.id}&limit=3&cursor=${first.nextCursor}`)
    expect(second.items.map(({ id }) => id)).toEqual(newest.slice(2))
    expect(second.nextCursor).toBeNull()
    expect((await list(bert, '?userId=@me')).items.map(({ id }) => id)).toEqual([ids[2]!])
    expect((await list(anna, `?userId=${bert.userId}`)).items.map(({ id }) => id)).toEqual([ids[2]!])
  })

  test('who comes and goes is listed each time, a page at a time', async () => {
    const { channel, anna, callId } = await scene()
    const each = Array.from({ length: 3 }, (_, i) =>
      report(channel.id, callId, anna.userId, { joinedAt: at(i * 2), leftAt: at(i * 2 + 1), ending: 'left' }),
    )
    await tell(...each)
    const first = await participations(anna, callId, '?limit=2')
    const second = await participations(anna, callId, `?limit=2&cursor=${first.nextCursor}`)
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(each.map(({ id }) => id))
    expect((await get(anna, callId)).body).toMatchObject({ participantCount: 1, seconds: 5 })
    expect((await stack.port.callsOf({ userId: anna.userId })).items).toHaveLength(3)
  })
})

describe('what nobody tells of any more', () => {
  /** A server whose clock is moved, and started anew: then its jobs run. */
  async function aged(ms: number) {
    let ahead = 0
    const clock = { now: () => new Date(Date.now() + ahead) }
    const own = await startMessaging({ clock })
    return {
      own,
      async pass() {
        ahead += ms
        await own.service.stop()
        await own.service.start()
      },
    }
  }

  test('is over since it was last told of; whoever is told of again after all is in it again', async () => {
    const { own, pass } = await aged(SILENT_AFTER_MS + 1_000)
    await using _ = own
    const channel = await own.authority.channel({ type: 'voice' })
    const [anna, bert] = [await own.authority.member(), await own.authority.member()]
    const callId = newId()
    const now = new Date().toISOString()
    const [one, two] = [anna, bert].map(({ userId }) => report(channel.id, callId, userId, { joinedAt: now, peak: 2 }))
    await own.port.recordCalls({ reports: [one!, two!] })
    const read = async () => (await own.json<CallRecord>('GET', `/v1/calls/${callId}`, anna)).body
    await pass()
    const over = await eventually(async () => {
      const call = await read()
      return call.endedAt === null ? undefined : call
    })
    expect(over).toMatchObject({ ending: 'unheard', peakParticipants: 2 })
    expect(over.seconds).toBeLessThan(10)
    // It had been messaging that was away, not the node.
    await own.port.recordCalls({ reports: [two!] })
    expect(await read()).toMatchObject({ endedAt: null, ending: null })
    expect((await audited(own, 'call.ended')).length).toBe(0)
    await pass()
    await pass()
    await eventually(async () => (await audited(own, 'call.ended')).length === 1)
  }, 30_000)

  test('goes after as many days as the server keeps it, audited; without, it stays', async () => {
    const { own, pass } = await aged(8 * 24 * 60 * 60_000)
    await using _ = own
    const channel = await own.authority.channel({ type: 'voice' })
    const anna = await own.authority.member()
    const now = new Date().toISOString()
    const gone = report(channel.id, newId(), anna.userId, { joinedAt: now, leftAt: now, ending: 'left' })
    await own.port.recordCalls({ reports: [gone] })
    const count = async () => (await own.sql`select 1 from calls`).length
    await pass()
    expect(await count()).toBe(1)
    own.authority.snapshot.server.callRetentionDays = 7
    await own.authority.changed()
    await pass()
    await eventually(async () => (await count()) === 0)
    expect(await audited(own, 'calls.expired')).toMatchObject([{ data: { calls: 1 } }])
  }, 30_000)
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Channel, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
let member: Caller
let nobody: NonNullable<Caller>
let channel: Channel

beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('channel.manage')
  member = await system.member()
  // Without a role, hence below everybody who has one.
  nobody = await system.authority.member()
  channel = await system.channel(manager)
})
afterAll(() => system[Symbol.asyncDispose]())

const everyone = () => system.authority.snapshot.roles.find((role) => role.isEveryone)!.id
const path = (target: string, id = channel.id) => `/v1/channels/${id}/overrides/${target}`
const put = (target: string, body: unknown, caller: Caller = manager) => system.call('PUT', path(target), caller, body)

describe('overrides', () => {
  test('are set for roles and members, listed, replaced and removed, each with its record', async () => {
    const told: string[] = []
    const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
    const forRole = await put(everyone(), { allow: [], deny: ['message.send'] })
    expect(forRole).toMatchObject({
      status: 200,
      body: { channelId: channel.id, targetKind: 'role', targetId: everyone(), allow: [], deny: ['message.send'] },
    })
    const forMember = await put(nobody.userId, { allow: ['message.send'], deny: [] })
    expect(forMember).toMatchObject({ status: 200, body: { targetKind: 'member', targetId: nobody.userId } })
    expect(await system.call('GET', path(nobody.userId), manager)).toMatchObject({ status: 200, body: forMember.body })
    expect(told).toHaveLength(2)
    const list = () => system.call('GET', `/v1/channels/${channel.id}/overrides`, manager)
    expect(((await list()).body as { items: unknown[] }).items).toEqual(
      expect.arrayContaining([forRole.body, forMember.body]),
    )
    await put(everyone(), { allow: [], deny: ['message.send', 'reaction.add'] })
    await put(everyone(), { allow: [], deny: ['message.send', 'reaction.add'] })
    expect(told).toHaveLength(3)
    expect(await system.call('DELETE', path(everyone()), manager)).toMatchObject({ status: 204 })
    expect(await system.call('DELETE', path(everyone()), manager)).toMatchObject({
      status: 404,
      body: { code: 'override.notFound' },
    })
    expect((await list()).body).toEqual({ items: [forMember.body], nextCursor: null })
    await end()
    expect((await system.trail('override.set', 3))[0]).toMatchObject({
      target: { kind: 'channel', id: channel.id },
      data: {
        targetKind: 'role',
        targetId: everyone(),
        allow: [],
        deny: ['message.send', 'reaction.add'],
        before: { allow: expect.any(Array), deny: expect.any(Array) },
      },
    })
    expect(await system.trail('override.removed')).toMatchObject([
      { data: { targetKind: 'role', before: { allow: [], deny: ['message.send', 'reaction.add'] } } },
    ])
  })

  test('nobody gives or takes by them what they do not have', async () => {
    const beyond = { status: 403, body: { code: 'override.beyondOwn' } }
    expect(await put(nobody.userId, { allow: ['message.manage'], deny: [] })).toMatchObject(beyond)
    expect(await put(everyone(), { allow: [], deny: ['message.manage'] })).toMatchObject(beyond)
    const admin = await system.member('administrator')
    expect(await put(everyone(), { allow: ['message.manage'], deny: [] }, admin)).toMatchObject({ status: 200 })
    expect(await put(everyone(), { allow: [], deny: [] })).toMatchObject(beyond)
    expect(await system.call('DELETE', path(everyone()), manager)).toMatchObject(beyond)
    const told = (await system.trail('access.refused', 2)).filter(({ actor }) => actor.id === manager!.userId)
    expect(told.map(({ target, data }) => [target.id?.split(' ')[0], data])).toEqual(
      expect.arrayContaining([
        ['PUT', { permission: 'message.manage' }],
        ['DELETE', { permission: 'message.manage' }],
      ]),
    )
    expect(await put(everyone(), { allow: ['message.manage', 'reaction.add'], deny: [] })).toMatchObject({
      status: 200,
    })
  })

  test.each([
    { allow: ['message.send'], deny: ['message.send'] },
    { allow: ['server.manage'], deny: [] },
    { allow: ['administrator'], deny: [] },
    { allow: ['message.send', 'message.send'], deny: [] },
    { allow: [] },
    { allow: [], deny: [], targetKind: 'role' },
  ])('%j is refused', async (body) => {
    expect(await put(everyone(), body)).toMatchObject({ status: 422 })
  })

  test('strangers, unknown targets and unknown channels are refused', async () => {
    const body = { allow: [], deny: [] }
    expect(await system.call('PUT', path(everyone()), undefined, body)).toMatchObject({ status: 401 })
    expect(await put(everyone(), body, member)).toMatchObject({ status: 403 })
    expect(await put(newId(), body)).toMatchObject({ status: 404, body: { code: 'override.noSuchTarget' } })
    expect(await system.call('PUT', path(everyone(), newId()), manager, body)).toMatchObject({ status: 404 })
    expect(await system.call('GET', `/v1/channels/${channel.id}/overrides`, member)).toMatchObject({ status: 403 })
    expect(await system.call('GET', `/v1/channels/${channel.id}/overrides`)).toMatchObject({ status: 401 })
    expect(await system.call('GET', path(everyone()), member)).toMatchObject({ status: 403 })
    expect(await system.call('GET', path(everyone()))).toMatchObject({ status: 401 })
    expect(await system.call('GET', path(newId()), manager)).toMatchObject({
      status: 404,
      body: { code: 'override.notFound' },
    })
    expect(await system.call('DELETE', path(everyone()))).toMatchObject({ status: 401 })
    expect(await system.call('DELETE', path(everyone()), member)).toMatchObject({ status: 403 })
  })
})

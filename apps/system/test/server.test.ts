import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type ServerInfo, subjects } from '@conntext/contracts'
import { serverSettings, systemOutbox } from '@conntext/db-server-details'
import { AppError, newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { and, eq, isNull } from 'drizzle-orm'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
let member: Caller

beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('server.manage')
  member = await system.member()
})
afterAll(() => system[Symbol.asyncDispose]())

const version = async () => (await system.databases.system.select().from(serverSettings))[0]!.version

describe('a new server', () => {
  test('says to anybody what it is', async () => {
    await using fresh = await startSystem()
    expect(await fresh.call('GET', '/v1/server')).toMatchObject({
      status: 200,
      body: {
        name: 'ConnText',
        description: null,
        registrationMode: 'invite',
        limits: { maxMessageLength: 4000, maxFileBytes: 524_288_000, maxMediaPerMessage: 10 },
      },
    })
    expect(await fresh.port.registrationMode({})).toEqual({ mode: 'invite' })
  })

  test('has one text channel, and starting again, twice at once, adds nothing but its record', async () => {
    await using fresh = await startSystem()
    const [second, third] = await Promise.all([fresh.another(), fresh.another()])
    const started = await fresh.trail('system.started', 3)
    expect(started).toHaveLength(3)
    expect(started[0]).toMatchObject({ actor: { kind: 'system', id: null }, data: { version: '1.2.3' } })
    expect(await fresh.trail('channel.created')).toMatchObject([{ data: { name: 'general', type: 'text' } }])
    await Promise.all([second.service.stop(), third.service.stop()])
  })
})

describe('PATCH /v1/server', () => {
  test('changes what is given, tells everybody, and records what it was before', async () => {
    const before = await version()
    const told: string[] = []
    const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
    const patch = { name: ' Ours ', registrationMode: 'open', limits: { maxMessageLength: 500 } }
    const changed = await system.call('PATCH', '/v1/server', manager, patch, { 'x-audit-reason': 'spring' })
    expect(changed).toMatchObject({
      status: 200,
      body: { name: 'Ours', registrationMode: 'open', limits: { maxMessageLength: 500, maxMediaPerMessage: 10 } },
    })
    await end()
    expect(told).toEqual(['{}'])
    expect((await system.call('GET', '/v1/server')).body).toEqual(changed.body)
    expect(await version()).toBe(before + 1)
    expect(system.heard.at(-1)).toMatchObject({ t: 'server.updated', d: changed.body })
    const [event] = await system.trail('server.updated')
    expect(event).toMatchObject({
      actor: { kind: 'user', id: manager!.userId },
      reason: 'spring',
      data: {
        changes: {
          name: { from: 'ConnText', to: 'Ours' },
          registrationMode: { from: 'invite', to: 'open' },
          maxMessageLength: { from: 4000, to: 500 },
        },
      },
    })
  })

  test('what changes nothing leaves no trace', async () => {
    const before = await version()
    const { body } = await system.call('GET', '/v1/server')
    const { name } = body as { name: string }
    expect(await system.call('PATCH', '/v1/server', manager, { name })).toMatchObject({ status: 200, body })
    expect(await system.call('PATCH', '/v1/server', manager, {})).toMatchObject({ status: 200, body })
    expect(await version()).toBe(before)
  })

  test.each([
    { name: '' },
    { name: '   ' },
    { registrationMode: 'maybe' },
    { limits: { maxMessageLength: 0 } },
    { limits: { unknown: 1 } },
    { version: 9 },
  ])('%j is refused', async (patch) => {
    expect(await system.call('PATCH', '/v1/server', manager, patch)).toMatchObject({ status: 422 })
  })

  test('a second factor is asked of everybody by those alone who have one', async () => {
    await using fresh = await startSystem()
    const owner = await fresh.authority.member({ owner: true })
    const ask = (caller: Caller, requireMfa = true) => fresh.call('PATCH', '/v1/server', caller, { requireMfa })
    const first = { status: 409, body: { code: 'server.mfaFirst' } }
    expect(await ask(owner)).toMatchObject(first)
    expect(await fresh.call('PATCH', '/v1/server', owner, { requireMfa: true, name: 'Half' })).toMatchObject(first)
    expect((await fresh.call('GET', '/v1/server')).body).toMatchObject({ requireMfa: false, name: 'ConnText' })
    await fresh.authority.setGrant(owner.userId, { mfa: true })
    expect(await ask(owner)).toMatchObject({ status: 200, body: { requireMfa: true } })
    expect(fresh.heard.at(-1)).toMatchObject({ t: 'server.updated', d: { requireMfa: true } })
    expect(await fresh.trail('server.updated')).toMatchObject([
      { data: { changes: { requireMfa: { from: false, to: true } } } },
    ])
    // What is so already, and what makes it easier, takes none.
    await fresh.authority.setGrant(owner.userId, { mfa: false })
    expect(await ask(owner)).toMatchObject({ status: 200 })
    expect(await ask(owner, false)).toMatchObject({ status: 200, body: { requireMfa: false } })
  })

  test('moderators can be made to say why', async () => {
    const patch = { requireModerationReason: true }
    expect(await system.call('PATCH', '/v1/server', manager, patch)).toMatchObject({ status: 200, body: patch })
  })

  test('is for those alone who may', async () => {
    expect(await system.call('PATCH', '/v1/server', undefined, { name: 'x' })).toMatchObject({ status: 401 })
    expect(await system.call('PATCH', '/v1/server', member, { name: 'x' })).toMatchObject({ status: 403 })
  })
})

describe('the server’s own channel', () => {
  test('is a text channel that whoever sets it may see; it is none when the channel goes', async () => {
    await using fresh = await startSystem()
    const owner = await fresh.authority.member({ owner: true })
    const set = (systemChannelId: string | null, caller: Caller = owner) =>
      fresh.call('PATCH', '/v1/server', caller, { systemChannelId })
    const none = { status: 422, body: { code: 'server.badSystemChannel' } }
    const { id } = await fresh.channel(owner)
    const voice = await fresh.channel(owner, { type: 'voice' })
    expect((await fresh.call('GET', '/v1/server')).body).toMatchObject({ systemChannelId: null })
    expect(await set(voice.id)).toMatchObject(none)
    expect(await set(newId())).toMatchObject(none)
    const blind = await fresh.member('server.manage')
    const { snapshot } = fresh.authority
    const everyone = snapshot.roles.find((role) => role.isEveryone)!
    const hidden = { channelId: id, targetKind: 'role' as const, targetId: everyone.id, allow: [] }
    snapshot.overrides.push({ ...hidden, deny: ['channel.view'] })
    await fresh.authority.changed()
    expect(await set(id, blind)).toMatchObject(none)
    expect(await set(id)).toMatchObject({ status: 200, body: { systemChannelId: id } })
    expect(fresh.heard.at(-1)).toMatchObject({ t: 'server.updated', d: { systemChannelId: id } })
    expect((await fresh.trail('server.updated'))[0]).toMatchObject({
      data: { changes: { systemChannelId: { from: null, to: id } } },
    })
    expect(await fresh.call('DELETE', `/v1/channels/${id}`, owner)).toMatchObject({ status: 204 })
    expect((await fresh.call('GET', '/v1/server')).body).toMatchObject({ systemChannelId: null })
    const told = await fresh.streamOf('server')
    expect(told.filter(({ t }) => t === 'server.updated').at(-1)).toMatchObject({ d: { systemChannelId: null } })
    const other = await fresh.channel(owner)
    await set(other.id)
    expect(await set(null)).toMatchObject({ status: 200, body: { systemChannelId: null } })
  })
})

describe('the icon', () => {
  const away = new AppError('dependency.away', 503, 'away')
  const upload = (caller: Caller) => {
    const mediaId = newId()
    system.messaging.pictures.set(mediaId, caller!.userId)
    return mediaId
  }
  const set = (iconId: string | null, caller: Caller = manager) =>
    system.call('PATCH', '/v1/server', caller, { iconId })
  const shown = () => [...system.messaging.published]

  test('is a picture of whoever sets it; the one before it is taken back', async () => {
    const [one, other] = [upload(manager), upload(manager)]
    expect(await set(one)).toMatchObject({ status: 200, body: { iconId: one } })
    expect(shown()).toEqual([`server ${one}`])
    expect(await set(one)).toMatchObject({ status: 200 })
    expect(await set(other)).toMatchObject({ status: 200, body: { iconId: other } })
    await eventually(() => shown().length === 1)
    expect(shown()).toEqual([`server ${other}`])
    expect(await set(null)).toMatchObject({ status: 200, body: { iconId: null } })
    await eventually(() => shown().length === 0)
  })

  test('of somebody else, and of nothing, is the same 404, and changes nothing', async () => {
    const mine = upload(manager)
    await set(mine)
    const theirs = upload(member)
    for (const id of [theirs, newId()]) {
      expect(await set(id)).toMatchObject({ status: 404, body: { code: 'media.notFound' } })
    }
    expect((await system.call('GET', '/v1/server')).body).toMatchObject({ iconId: mine })
    expect(await set(mine, member)).toMatchObject({ status: 403 })
    expect(await system.call('PATCH', '/v1/server', manager, { iconId: 'x' })).toMatchObject({ status: 422 })
    await set(null)
    await eventually(() => shown().length === 0)
  })

  test('that comes back before its withdrawal has been delivered stays', async () => {
    const [one, other] = [upload(manager), upload(manager)]
    const { faults } = system.messaging
    faults.withdraw = away
    await set(one)
    await set(other)
    await set(one)
    const undelivered = () =>
      system.databases.system
        .select()
        .from(systemOutbox)
        .where(and(eq(systemOutbox.topic, 'iconWithdrawal'), isNull(systemOutbox.deliveredAt)))
    expect(await undelivered()).not.toEqual([])
    delete faults.withdraw
    await eventually(async () => (await undelivered()).length === 0, 20_000)
    expect(shown()).toEqual([`server ${one}`])
    await set(null)
    await eventually(() => shown().length === 0)
  })

  test('of a change that does not come about is taken back', async () => {
    const mine = upload(manager)
    const { faults } = system.messaging
    faults.publish = away
    expect(await set(mine)).toMatchObject({ status: 503 })
    delete faults.publish
    await eventually(() => shown().length === 0)
    expect((await system.call('GET', '/v1/server')).body).toMatchObject({ iconId: null })
  })

  test('that many set at once is one, and it alone is shown', async () => {
    const icons = Array.from({ length: 10 }, () => upload(manager))
    const answers = await Promise.all(icons.map((id) => set(id)))
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    const { iconId } = (await system.call('GET', '/v1/server')).body as ServerInfo
    await eventually(() => shown().length === 1)
    expect(shown()).toEqual([`server ${iconId}`])
    await set(null)
    await eventually(() => shown().length === 0)
  })
})

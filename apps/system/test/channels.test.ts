import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AuditEvent, type Channel, type Page, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
let member: Caller

beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('channel.manage')
  member = await system.member()
})
afterAll(() => system[Symbol.asyncDispose]())

const hide = async (channelId: string) => {
  const { roles, overrides } = system.authority.snapshot
  const everyone = roles.find((role) => role.isEveryone)!
  overrides.push({ channelId, targetKind: 'role', targetId: everyone.id, allow: [], deny: ['channel.view'] })
  await system.authority.changed()
}
const unique = (name: string) => `${name}-${crypto.randomUUID()}`
const hidden = async (fields: Partial<Channel> = {}) => {
  const admin = await system.member('administrator')
  const channel = await system.channel(admin, fields)
  const { roles } = system.authority.snapshot
  const target = roles.find((role) => role.isEveryone)!.id
  const body = { allow: [], deny: ['channel.view'] }
  const set = await system.call('PUT', `/v1/channels/${channel.id}/overrides/${target}`, admin, body)
  expect(set.status).toBe(200)
  await hide(channel.id)
  return { channel, admin, target }
}

describe('POST /v1/channels', () => {
  test('makes a channel behind the others, tells everybody, and records it', async () => {
    const before = system.heard.length
    const told: string[] = []
    const end = await system.bus.subscribe(subjects.authority, (payload) => {
      // What everybody is told live comes after permissions are known to have changed.
      expect(system.heard.length).toBe(before)
      told.push(payload)
    })
    const name = unique('Talk')
    const made = await system.call('POST', '/v1/channels', manager, { name: ` ${name} `, type: 'text', topic: 'About' })
    await end()
    expect(made).toMatchObject({ status: 201, body: { name, type: 'text', parentId: null, topic: 'About' } })
    expect(told).toEqual(['{}'])
    expect(system.heard.slice(before)).toMatchObject([{ t: 'channel.created', d: made.body }])
    const { id } = made.body as Channel
    const trail = await system.trail('channel.created', 2)
    expect(trail.find((event) => event.target.id === id)).toMatchObject({
      actor: { kind: 'user', id: manager!.userId, sessionId: expect.any(String) },
      data: { name, type: 'text' },
      outcome: 'done',
    })
  })

  test('a taken name is a 409, whatever its case, and leaves nothing behind', async () => {
    const name = unique('Straße')
    await system.channel(manager, { name })
    const before = (await system.streamOf('server')).length
    const taken = await system.call('POST', '/v1/channels', manager, {
      name: name.toUpperCase().replace('SS', 'ß'),
      type: 'text',
    })
    expect(taken).toMatchObject({ status: 409, body: { code: 'channel.nameTaken' } })
    expect((await system.streamOf('server')).length).toBe(before)
    expect(await system.call('POST', '/v1/channels', manager, { name, type: 'voice' })).toMatchObject({ status: 201 })
  })

  test('a parent is a category that the caller may manage', async () => {
    const category = await system.channel(manager, { type: 'category' })
    const text = await system.channel(manager)
    const post = (parentId: string, type = 'text') =>
      system.call('POST', '/v1/channels', manager, { name: unique('child'), type, parentId })
    expect(await post(category.id)).toMatchObject({ status: 201, body: { parentId: category.id } })
    const bad = { status: 422, body: { code: 'channel.badParent' } }
    expect(await post(text.id)).toMatchObject(bad)
    expect(await post(newId())).toMatchObject(bad)
    expect(await post(category.id, 'category')).toMatchObject(bad)
    const { channel } = await hidden({ type: 'category' })
    expect(await post(channel.id)).toMatchObject(bad)
  })

  test('fifty at once get fifty positions, and a stream without gaps that everybody heard in order', async () => {
    await using fresh = await startSystem()
    const caller = await fresh.member('channel.manage')
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, i) => fresh.call('POST', '/v1/channels', caller, { name: `c${i}`, type: 'text' })),
    )
    expect(made.map((answer) => answer.status)).toEqual(Array(50).fill(201))
    const positions = made.map((answer) => (answer.body as Channel).position).sort((a, b) => a - b)
    expect(positions).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
    const stream = await fresh.streamOf('server')
    expect(stream.map((event) => event.seq)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
    expect(new Set(stream.map((event) => (event.d as Channel).id)).size).toBe(50)
    expect(fresh.heard.map((event) => event.seq).sort((a, b) => a - b)).toEqual(stream.map((event) => event.seq))
    expect((await fresh.port.streamHeads({ streams: ['server'] })).heads).toEqual({ server: 50 })
    expect(await fresh.trail('channel.created', 51)).toHaveLength(51)
  })

  test('of fifty that want one name, one gets it', async () => {
    const name = unique('only')
    const made = await Promise.all(
      Array.from({ length: 50 }, () => system.call('POST', '/v1/channels', manager, { name, type: 'text' })),
    )
    expect(made.filter((answer) => answer.status === 201)).toHaveLength(1)
    expect(made.filter((answer) => answer.status === 409)).toHaveLength(49)
  })

  test.each([
    {},
    { name: 'x' },
    { name: '', type: 'text' },
    { name: ' ', type: 'text' },
    { name: 'x'.repeat(101), type: 'text' },
    { name: 'x', type: 'forum' },
    { name: 'x', type: 'text', position: 0 },
    { name: 'x', type: 'text', parentId: 'x' },
  ])('%j is refused', async (body) => {
    expect(await system.call('POST', '/v1/channels', manager, body)).toMatchObject({ status: 422 })
  })

  test('is for those alone who may', async () => {
    const body = { name: 'x', type: 'text' }
    expect(await system.call('POST', '/v1/channels', undefined, body)).toMatchObject({ status: 401 })
    expect(await system.call('POST', '/v1/channels', member, body)).toMatchObject({ status: 403 })
  })
})

describe('GET /v1/channels', () => {
  test('pages through what one may see, in order', async () => {
    const shown = await Promise.all(Array.from({ length: 5 }, () => system.channel(manager)))
    const { channel, admin } = await hidden()
    const list = async (caller: Caller) => {
      const items: Channel[] = []
      let cursor = ''
      do {
        const { body } = await system.call('GET', `/v1/channels?limit=2${cursor}`, caller)
        const page = body as Page<Channel>
        items.push(...page.items)
        cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`
      } while (cursor !== '')
      return items
    }
    const seen = await list(member)
    expect(seen.map((one) => one.id)).toEqual(expect.arrayContaining(shown.map((one) => one.id)))
    expect(seen.map((one) => one.position)).toEqual(seen.map((one) => one.position).sort((a, b) => a - b))
    expect(seen.map((one) => one.id)).not.toContain(channel.id)
    expect((await list(admin)).map((one) => one.id)).toContain(channel.id)
  })

  test('needs a session and a cursor of its own making', async () => {
    expect(await system.call('GET', '/v1/channels')).toMatchObject({ status: 401 })
    expect(await system.call('GET', '/v1/channels?cursor=abc', member)).toMatchObject({ status: 422 })
    expect(await system.call('GET', '/v1/channels?limit=101', member)).toMatchObject({ status: 422 })
    expect(await system.call('GET', '/v1/channels?page=2', member)).toMatchObject({ status: 422 })
  })
})

describe('GET /v1/channels/:channelId', () => {
  test('answers a channel, and the same for a hidden one as for none', async () => {
    const channel = await system.channel(manager)
    const { channel: secret, admin } = await hidden()
    expect(await system.call('GET', `/v1/channels/${channel.id}`, member)).toMatchObject({ status: 200, body: channel })
    expect(await system.call('GET', `/v1/channels/${secret.id}`, admin)).toMatchObject({ status: 200 })
    const answers = await Promise.all(
      [secret.id, newId()].map((id) =>
        system.call('GET', `/v1/channels/${id}`, member, undefined, { 'x-request-id': 'r' }),
      ),
    )
    expect(answers[0]).toMatchObject({ status: 404, body: { code: 'channel.notFound' } })
    expect(answers[0]!.body).toEqual(answers[1]!.body)
    expect(await system.call('GET', `/v1/channels/${channel.id}`)).toMatchObject({ status: 401 })
  })
})

describe('PATCH /v1/channels/:channelId', () => {
  test('changes a channel, tells everybody, and records both states', async () => {
    const channel = await system.channel(manager)
    const name = unique('renamed')
    const answer = await system.call('PATCH', `/v1/channels/${channel.id}`, manager, { name, topic: 'T' })
    expect(answer).toMatchObject({
      status: 200,
      body: { id: channel.id, name, topic: 'T', position: channel.position },
    })
    expect(system.heard.at(-1)).toMatchObject({ t: 'channel.updated', d: answer.body })
    const [event] = await system.trail('channel.updated')
    expect(event).toMatchObject({
      target: { kind: 'channel', id: channel.id },
      data: { changes: { name: { from: channel.name, to: name }, topic: { from: null, to: 'T' } } },
    })
  })

  test('moving it moves the others out of its way, and tells of each', async () => {
    await using fresh = await startSystem()
    const caller = await fresh.member('channel.manage')
    const made: Channel[] = []
    for (const name of ['a', 'b', 'c', 'd']) made.push(await fresh.channel(caller, { name }))
    const order = async () => {
      const { body } = await fresh.call('GET', '/v1/channels', caller)
      return (body as Page<Channel>).items.map((one) => `${one.name}${one.position}`)
    }
    const [a, b, , d] = made
    // `general` is at 0, and not in the faked snapshot.
    const moved = await fresh.call('PATCH', `/v1/channels/${d!.id}`, caller, { position: 1 })
    expect(moved).toMatchObject({ status: 200, body: { position: 1 } })
    expect(await order()).toEqual(['d1', 'a2', 'b3', 'c4'])
    expect(fresh.heard.slice(-4).map((event) => (event.d as Channel).name)).toEqual(['d', 'a', 'b', 'c'])
    await fresh.call('PATCH', `/v1/channels/${a!.id}`, caller, { position: 9999 })
    expect(await order()).toEqual(['d1', 'b2', 'c3', 'a4'])
    const before = fresh.heard.length
    await fresh.call('PATCH', `/v1/channels/${b!.id}`, caller, { position: 2 })
    expect(fresh.heard.length).toBe(before)
    await fresh.call('DELETE', `/v1/channels/${b!.id}`, caller)
    await fresh.call('PATCH', `/v1/channels/${a!.id}`, caller, { position: 2 })
    expect(await order()).toEqual(['d1', 'a2', 'c3'])
  })

  test('moves in and out of categories, by the rules of making one', async () => {
    const category = await system.channel(manager, { type: 'category' })
    const channel = await system.channel(manager)
    const patch = (id: string, parentId: string | null) =>
      system.call('PATCH', `/v1/channels/${id}`, manager, { parentId })
    expect(await patch(channel.id, category.id)).toMatchObject({ status: 200, body: { parentId: category.id } })
    expect(await patch(channel.id, null)).toMatchObject({ status: 200, body: { parentId: null } })
    const bad = { status: 422, body: { code: 'channel.badParent' } }
    expect(await patch(channel.id, channel.id)).toMatchObject(bad)
    expect(await patch(category.id, category.id)).toMatchObject(bad)
    expect(await patch(channel.id, newId())).toMatchObject(bad)
  })

  test('a taken name is a 409; nothing, a stranger and a hidden channel are refused', async () => {
    const [one, other] = [await system.channel(manager), await system.channel(manager)]
    const path = `/v1/channels/${one.id}`
    expect(await system.call('PATCH', path, manager, { name: other.name })).toMatchObject({
      status: 409,
      body: { code: 'channel.nameTaken' },
    })
    expect(await system.call('PATCH', path, manager, { type: 'voice' })).toMatchObject({ status: 422 })
    expect(await system.call('PATCH', path, manager, { position: -1 })).toMatchObject({ status: 422 })
    expect(await system.call('PATCH', path, undefined, { name: 'x' })).toMatchObject({ status: 401 })
    expect(await system.call('PATCH', path, member, { name: 'x' })).toMatchObject({ status: 403 })
    const { channel } = await hidden()
    expect(await system.call('PATCH', `/v1/channels/${channel.id}`, manager, { name: 'x' })).toMatchObject({
      status: 404,
    })
    // Known to the permission snapshot, and gone here: as at the moment of a deletion.
    const ghost = await system.authority.channel()
    expect(await system.call('PATCH', `/v1/channels/${ghost.id}`, manager, { name: 'x' })).toMatchObject({
      status: 404,
    })
  })

  test('news of a hidden channel goes into its own stream alone', async () => {
    const { channel, admin } = await hidden()
    const before = (await system.streamOf('server')).length
    const answer = await system.call('PATCH', `/v1/channels/${channel.id}`, admin, { topic: 'secret plans' })
    expect(answer.status).toBe(200)
    const appended = await eventually(() =>
      system.messaging.appended.find((event) => event.stream === `channel:${channel.id}`),
    )
    expect(appended).toMatchObject({ type: 'channel.updated', data: answer.body })
    const stream = await system.streamOf('server')
    expect(stream.length).toBe(before)
    expect(JSON.stringify([stream, system.heard])).not.toContain('secret plans')
  })

  test('news of a channel that was hidden from a role goes to everybody once the role is gone', async () => {
    const channel = await system.channel(manager)
    const { roles } = system.authority.snapshot
    const role = { ...roles[0]!, id: newId(), name: 'gone soon', isEveryone: false }
    roles.push(role)
    await system.authority.changed()
    const override = `/v1/channels/${channel.id}/overrides/${role.id}`
    expect((await system.call('PUT', override, manager, { allow: [], deny: ['channel.view'] })).status).toBe(200)
    const change = () => system.call('PATCH', `/v1/channels/${channel.id}`, manager, { topic: newId() })
    const before = (await system.streamOf('server')).length
    expect((await change()).status).toBe(200)
    expect((await system.streamOf('server')).length).toBe(before)
    roles.splice(roles.indexOf(role), 1)
    await system.authority.changed()
    const { body } = await change()
    expect((await system.streamOf('server')).at(-1)).toMatchObject({ t: 'channel.updated', d: body })
  })

  test('what is made in a hidden category is told in its own stream; what leaves it, to everybody', async () => {
    const { channel: category, admin } = await hidden({ type: 'category' })
    const before = (await system.streamOf('server')).length
    const child = await system.channel(admin, { parentId: category.id })
    expect((await system.streamOf('server')).length).toBe(before)
    await eventually(() => system.messaging.appended.find((event) => event.stream === `channel:${child.id}`))
    const answer = await system.call('PATCH', `/v1/channels/${child.id}`, admin, { parentId: null })
    expect((await system.streamOf('server')).at(-1)).toMatchObject({ t: 'channel.updated', d: answer.body })
  })
})

describe('slow mode', () => {
  const post = (type: string, slowModeSeconds: number) =>
    system.call('POST', '/v1/channels', manager, { name: unique('slow'), type, slowModeSeconds })

  test('is set for text channels, and everybody hears of it', async () => {
    expect(await post('text', 5)).toMatchObject({ status: 201, body: { slowModeSeconds: 5 } })
    const channel = await system.channel(manager)
    const set = (slowModeSeconds: number) =>
      system.call('PATCH', `/v1/channels/${channel.id}`, manager, { slowModeSeconds })
    expect(await set(21_600)).toMatchObject({ status: 200, body: { slowModeSeconds: 21_600 } })
    expect(system.heard.at(-1)).toMatchObject({ t: 'channel.updated', d: { id: channel.id, slowModeSeconds: 21_600 } })
    expect(await set(0)).toMatchObject({ status: 200, body: { slowModeSeconds: 0 } })
    expect(await set(21_601)).toMatchObject({ status: 422 })
    expect(await set(-1)).toMatchObject({ status: 422 })
  })

  test.each(['voice', 'category'] as const)('is not for a %s', async (type) => {
    const none = { status: 422, body: { code: 'channel.noSlowMode' } }
    expect(await post(type, 5)).toMatchObject(none)
    expect(await post(type, 0)).toMatchObject({ status: 201 })
    const channel = await system.channel(manager, { type })
    const set = (slowModeSeconds: number) =>
      system.call('PATCH', `/v1/channels/${channel.id}`, manager, { slowModeSeconds })
    expect(await set(5)).toMatchObject(none)
    expect(await set(0)).toMatchObject({ status: 200 })
  })
})

describe('retention', () => {
  const post = (fields: object) =>
    system.call('POST', '/v1/channels', manager, { name: unique('kept'), type: 'text', ...fields })
  const set = (id: string, messageRetentionDays: unknown) =>
    system.call('PATCH', `/v1/channels/${id}`, manager, { messageRetentionDays })

  test('is set for text channels, told and audited; null keeps messages for ever', async () => {
    expect(await post({})).toMatchObject({ status: 201, body: { messageRetentionDays: null } })
    expect(await post({ messageRetentionDays: 30 })).toMatchObject({ status: 201, body: { messageRetentionDays: 30 } })
    const { id } = await system.channel(manager)
    expect(await set(id, 3_650)).toMatchObject({ status: 200, body: { messageRetentionDays: 3_650 } })
    expect(system.heard.at(-1)).toMatchObject({ t: 'channel.updated', d: { id, messageRetentionDays: 3_650 } })
    const recorded = await eventually(async () =>
      (await system.trail('channel.updated')).find(({ target }) => target.id === id),
    )
    expect(recorded.data).toEqual({ changes: { messageRetentionDays: { from: null, to: 3_650 } } })
    // What isn't named stays.
    expect(await system.call('PATCH', `/v1/channels/${id}`, manager, { topic: 'x' })).toMatchObject({
      body: { messageRetentionDays: 3_650 },
    })
    expect(await set(id, null)).toMatchObject({ status: 200, body: { messageRetentionDays: null } })
    for (const bad of [0, 3_651, 1.5, '7']) expect(await set(id, bad)).toMatchObject({ status: 422 })
    expect(await system.call('PATCH', `/v1/channels/${id}`, member, { messageRetentionDays: 1 })).toMatchObject({
      status: 403,
    })
  })

  test('begins as the server says, unless told', async () => {
    await using fresh = await startSystem()
    const owner = await fresh.authority.member({ owner: true })
    const days = (messageRetentionDays: number | null) =>
      fresh.call('PATCH', '/v1/server', owner, { messageRetentionDays })
    const make = (fields: object) => fresh.call('POST', '/v1/channels', owner, { name: unique('kept'), ...fields })
    expect(await days(90)).toMatchObject({ status: 200, body: { messageRetentionDays: 90 } })
    expect(await make({ type: 'text' })).toMatchObject({ body: { messageRetentionDays: 90 } })
    expect(await make({ type: 'text', messageRetentionDays: null })).toMatchObject({
      body: { messageRetentionDays: null },
    })
    expect(await make({ type: 'voice' })).toMatchObject({ status: 201, body: { messageRetentionDays: null } })
    expect(await days(null)).toMatchObject({ status: 200, body: { messageRetentionDays: null } })
  })

  test.each(['voice', 'category'] as const)('is not for a %s', async (type) => {
    const none = { status: 422, body: { code: 'channel.noRetention' } }
    expect(await post({ type, messageRetentionDays: 5 })).toMatchObject(none)
    const { id } = await system.channel(manager, { type })
    expect(await set(id, 5)).toMatchObject(none)
    expect(await set(id, null)).toMatchObject({ status: 200 })
  })
})

describe('what calls may be', () => {
  const post = (fields: object) =>
    system.call('POST', '/v1/channels', manager, { name: unique('calls'), type: 'voice', ...fields })
  const set = (id: string, fields: object) => system.call('PATCH', `/v1/channels/${id}`, manager, fields)
  const none = { userLimit: null, audioBitrate: null, videoLimit: null }
  const some = { userLimit: 5, audioBitrate: 64_000, videoLimit: 0 }

  test('is set for voice channels, told and audited; null leaves it to the server', async () => {
    expect(await post({})).toMatchObject({ status: 201, body: none })
    expect(await post(some)).toMatchObject({ status: 201, body: some })
    const { id } = await system.channel(manager, { type: 'voice' })
    expect(await set(id, some)).toMatchObject({ status: 200, body: some })
    expect(system.heard.at(-1)).toMatchObject({ t: 'channel.updated', d: { id, ...some } })
    const recorded = await eventually(async () =>
      (await system.trail('channel.updated')).find(({ target }) => target.id === id),
    )
    expect(recorded.data).toEqual({
      changes: {
        userLimit: { from: null, to: 5 },
        audioBitrate: { from: null, to: 64_000 },
        videoLimit: { from: null, to: 0 },
      },
    })
    // What isn't named stays.
    expect(await set(id, { topic: 'x' })).toMatchObject({ body: some })
    expect(await set(id, none)).toMatchObject({ status: 200, body: none })
  })

  test.each([
    { userLimit: 0 },
    { userLimit: 1_001 },
    { audioBitrate: 7_999 },
    { audioBitrate: 510_001 },
    { videoLimit: -1 },
  ])('is refused beyond its bounds: %p', async (fields) => {
    expect(await post(fields)).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  })

  test.each(['text', 'category'] as const)('is not for a %s', async (type) => {
    const refused = { status: 422, body: { code: 'channel.noCalls', errors: [{ path: '/body/userLimit' }] } }
    expect(await post({ type, userLimit: 5 })).toMatchObject(refused)
    const { id } = await system.channel(manager, { type })
    expect(await set(id, { userLimit: 5 })).toMatchObject(refused)
    expect(await set(id, none)).toMatchObject({ status: 200 })
  })
})

describe('DELETE /v1/channels/:channelId', () => {
  test('deletes it, tells everybody, has its content removed, and frees its name', async () => {
    const channel = await system.channel(manager)
    expect(await system.call('DELETE', `/v1/channels/${channel.id}`, manager)).toMatchObject({
      status: 204,
      body: undefined,
    })
    expect(system.heard.at(-1)).toMatchObject({ t: 'channel.deleted', d: { id: channel.id } })
    await eventually(() => system.messaging.deleted.includes(channel.id))
    expect((await system.trail('channel.deleted'))[0]).toMatchObject({
      target: { id: channel.id },
      data: { name: channel.name },
    })
    // The faked snapshot still knows it: what is left of the race of two deletions.
    expect(await system.call('DELETE', `/v1/channels/${channel.id}`, manager)).toMatchObject({ status: 404 })
    expect(await system.channel(manager, { name: channel.name })).toMatchObject({ name: channel.name })
  })

  test('of a hidden one nobody hears', async () => {
    const { channel, admin } = await hidden()
    const before = (await system.streamOf('server')).length
    expect(await system.call('DELETE', `/v1/channels/${channel.id}`, admin)).toMatchObject({ status: 204 })
    await eventually(() => system.messaging.deleted.includes(channel.id))
    expect((await system.streamOf('server')).length).toBe(before)
  })

  test('the channels of a category stay, and everybody hears where', async () => {
    const category = await system.channel(manager, { type: 'category' })
    const child = await system.channel(manager, { parentId: category.id })
    await system.call('DELETE', `/v1/channels/${category.id}`, manager)
    expect(system.heard.slice(-2)).toMatchObject([
      { t: 'channel.deleted', d: { id: category.id } },
      { t: 'channel.updated', d: { id: child.id, parentId: null } },
    ])
    expect(await system.call('GET', `/v1/channels/${child.id}`, member)).toMatchObject({ body: { parentId: null } })
  })

  test('of a category whose overrides its channels lean on waits until they are gone', async () => {
    const { channel: category, admin } = await hidden({ type: 'category' })
    const child = await system.channel(admin, { parentId: category.id })
    const remove = () => system.call('DELETE', `/v1/channels/${category.id}`, admin)
    expect(await remove()).toMatchObject({ status: 409, body: { code: 'channel.inherited' } })
    expect(await system.call('GET', `/v1/channels/${child.id}`, admin)).toMatchObject({
      body: { parentId: category.id },
    })
    expect(await system.call('PATCH', `/v1/channels/${child.id}`, admin, { parentId: null })).toMatchObject({
      status: 200,
    })
    expect(await remove()).toMatchObject({ status: 204 })
  })

  test('keeps all that was recorded of it', async () => {
    const channel = await system.channel(manager)
    const path = `/v1/channels/${channel.id}`
    const target = system.authority.snapshot.roles.find((role) => role.isEveryone)!.id
    await system.call('PATCH', path, manager, { topic: 'T' })
    await system.call('PUT', `${path}/overrides/${target}`, manager, { allow: [], deny: ['message.send'] })
    await system.call('DELETE', path, manager)
    const auditor = await system.member('audit.view')
    const actions = await eventually(async () => {
      const { body } = await system.call('GET', `/v1/audit/events?targetId=${channel.id}`, auditor)
      const { items } = body as Page<AuditEvent>
      return items.length >= 4 ? items.map((event) => event.action) : undefined
    })
    expect(actions.sort()).toEqual(['channel.created', 'channel.deleted', 'channel.updated', 'override.set'])
  })

  test('is for those alone who may', async () => {
    const channel = await system.channel(manager)
    const path = `/v1/channels/${channel.id}`
    expect(await system.call('DELETE', path)).toMatchObject({ status: 401 })
    expect(await system.call('DELETE', path, member)).toMatchObject({ status: 403 })
    expect(await system.call('DELETE', `/v1/channels/${newId()}`, manager)).toMatchObject({ status: 404 })
    expect(await system.call('DELETE', '/v1/channels/nonsense', manager)).toMatchObject({ status: 404 })
  })
})

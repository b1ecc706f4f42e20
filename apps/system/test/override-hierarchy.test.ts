import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Channel, type Grant, type Page, type Permission, type Role, subjects } from '@conntext/contracts'
import { channelOverrides, roles, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { sql } from 'drizzle-orm'
import { type Caller, type System, startSystem } from './support/system.ts'

type Sides = { allow: Permission[]; deny: Permission[] }
type Somebody = NonNullable<Caller>

let system: System
let channel: Channel
let admin: Somebody
let manager: Somebody
let lower: Role
let own: Role
let higher: Role

const MANAGING: Permission[] = ['channel.manage', 'message.pin']
const refused = { status: 403, body: { code: 'override.notBelowYours' } }
const done = { status: 200 }
const path = (target: string) => `/v1/channels/${channel.id}/overrides/${target}`
const put = (target: string, sides: Partial<Sides>, caller: Caller = manager) =>
  system.call('PUT', path(target), caller, { allow: [], deny: [], ...sides })
const remove = (target: string, caller: Caller = manager) => system.call('DELETE', path(target), caller)
const give = (who: Somebody, given: Role[], change: Partial<Grant> = {}) =>
  system.authority.setGrant(who.userId, { roleIds: given.map((role) => role.id), ...change })
const withRoles = async (given: Role[], change: Partial<Grant> = {}): Promise<Somebody> => {
  const who = await system.authority.member()
  await give(who, given, change)
  return who
}

beforeAll(async () => {
  system = await startSystem()
  const { snapshot } = system.authority
  const role = (name: string, permissions: Permission[]): Role => {
    const made = { ...snapshot.roles[0]!, id: newId(), name, isEveryone: false, permissions }
    snapshot.roles.push({ ...made, position: snapshot.roles.length })
    return snapshot.roles.at(-1)!
  }
  lower = role('lower', [])
  own = role('own', MANAGING)
  higher = role('higher', ['message.manage'])
  admin = await system.member('administrator')
  channel = await system.channel(admin)
  await system.authority.changed()
  manager = await withRoles([lower, own])
})
afterAll(() => system[Symbol.asyncDispose]())

describe('overrides for roles', () => {
  test("above one's own cannot be set, changed or removed, whatever they say", async () => {
    expect(await put(higher.id, { allow: ['message.pin'] })).toMatchObject(refused)
    expect(await put(higher.id, { deny: ['message.pin'] })).toMatchObject(refused)
    expect(await put(higher.id, {})).toMatchObject(refused)
    expect(await put(higher.id, { deny: ['message.pin'] }, admin)).toMatchObject(done)
    expect(await put(higher.id, { allow: ['message.pin'] })).toMatchObject(refused)
    expect(await remove(higher.id)).toMatchObject(refused)
    expect(await remove(higher.id, admin)).toMatchObject({ status: 204 })
  })

  test("below one's own can, and @everyone's too", async () => {
    const everyone = system.authority.snapshot.roles.find((role) => role.isEveryone)!
    for (const { id } of [lower, everyone]) {
      expect(await put(id, { allow: ['message.pin'], deny: ['message.send'] })).toMatchObject(done)
      expect(await put(id, { deny: ['message.pin'] })).toMatchObject(done)
      expect(await remove(id)).toMatchObject({ status: 204 })
    }
  })

  test("for one's own highest may allow more, of what one has, and take nothing", async () => {
    expect(await put(own.id, { deny: ['message.pin'] })).toMatchObject(refused)
    expect(await put(own.id, { allow: ['message.manage'] })).toMatchObject({ body: { code: 'override.beyondOwn' } })
    expect(await put(own.id, { allow: ['message.pin'] })).toMatchObject(done)
    expect(await put(own.id, { allow: ['message.pin', 'message.send'] })).toMatchObject(done)
    expect(await put(own.id, { allow: ['message.send'] })).toMatchObject(refused)
    expect(await put(own.id, { allow: ['message.send'], deny: ['message.pin'] })).toMatchObject(refused)
    expect(await remove(own.id)).toMatchObject(refused)
    // What is denied to their team they may give back where they have it themselves: not where that is what takes it.
    const { overrides } = system.authority.snapshot
    const denied = { channelId: channel.id, targetKind: 'role' as const, targetId: own.id, allow: [], deny: [] }
    expect(await put(own.id, { deny: ['message.send'] }, admin)).toMatchObject(done)
    overrides.push({ ...denied, deny: ['message.send'] })
    await system.authority.changed()
    expect(await put(own.id, {})).toMatchObject({ body: { code: 'override.beyondOwn' } })
    expect(await remove(own.id)).toMatchObject({ body: { code: 'override.beyondOwn' } })
    overrides.pop()
    await system.authority.changed()
    expect(await remove(own.id)).toMatchObject({ status: 204 })
  })

  test('are not within reach by a role that does not count for want of a second factor', async () => {
    const { snapshot } = system.authority
    const strict = snapshot.roles.find((role) => role.id === higher.id)!
    strict.requireMfa = true
    await system.authority.changed()
    const bare = await withRoles([own, higher])
    expect(await put(own.id, { deny: ['message.pin'] }, bare)).toMatchObject(refused)
    await give(bare, [own, higher], { mfa: true })
    expect(await put(own.id, { deny: ['message.pin'] }, bare)).toMatchObject(done)
    expect(await remove(own.id, admin)).toMatchObject({ status: 204 })
    strict.requireMfa = false
    await system.authority.changed()
  })
})

describe('overrides for members', () => {
  test('who stand as high or higher, oneself included, cannot be set or removed', async () => {
    const equal = await withRoles([own])
    const above = await withRoles([higher])
    const below = await withRoles([lower])
    for (const { userId } of [manager, equal, above, admin]) {
      expect(await put(userId, { allow: ['message.pin'] })).toMatchObject(refused)
      expect(await put(userId, { deny: ['message.send'] }, admin)).toMatchObject(
        userId === admin.userId ? refused : done,
      )
    }
    for (const { userId } of [manager, equal, above]) {
      expect(await remove(userId)).toMatchObject(refused)
      expect(await remove(userId, admin)).toMatchObject({ status: 204 })
    }
    expect(await put(below.userId, { deny: ['message.send'] })).toMatchObject(done)
    expect(await remove(below.userId)).toMatchObject({ status: 204 })
  })

  test('protect by all their roles, also those that do not count for want of a second factor', async () => {
    const strict = system.authority.snapshot.roles.find((role) => role.id === higher.id)!
    strict.requireMfa = true
    await system.authority.changed()
    const above = await withRoles([higher])
    expect(await put(above.userId, { deny: ['message.send'] })).toMatchObject(refused)
    strict.requireMfa = false
    await system.authority.changed()
  })

  test("are all the owner's to set, and nobody else's are the owner's", async () => {
    const owner = await system.authority.member({ owner: true })
    expect(await put(owner.userId, { deny: ['message.send'] })).toMatchObject(refused)
    expect(await put(owner.userId, { deny: ['message.send'] }, admin)).toMatchObject(refused)
    for (const id of [owner.userId, admin.userId, higher.id]) {
      expect(await put(id, { deny: ['message.manage'] }, owner)).toMatchObject(done)
      expect(await remove(id, owner)).toMatchObject({ status: 204 })
    }
    system.authority.snapshot.ownerId = null
    await system.authority.changed()
  })

  test('whoever is refused is on record', async () => {
    const curious = await withRoles([own])
    await put(higher.id, { deny: ['message.pin'] }, curious)
    const events = await eventually(async () => {
      const mine = (await system.trail('access.refused')).filter((event) => event.actor.id === curious.userId)
      return mine.length > 0 ? mine : undefined
    })
    expect(events).toMatchObject([
      {
        target: { id: 'PUT /v1/channels/:channelId/overrides/:targetId' },
        data: { permission: 'channel.manage' },
      },
    ])
  })
})

describe('an API token', () => {
  const token = ({ userId }: Somebody, scopes: Permission[]): Somebody => ({
    userId,
    token: system.authority.apiToken(userId, scopes).token,
  })

  test('sets overrides with nothing but what is within its scopes', async () => {
    const scoped = token(manager, ['channel.manage', 'channel.view', 'message.send'])
    expect(await put(lower.id, { allow: ['message.pin'] }, scoped)).toMatchObject({
      status: 403,
      body: { code: 'override.beyondOwn' },
    })
    expect(await put(lower.id, { deny: ['message.send'] }, scoped)).toMatchObject(done)
    expect(await remove(lower.id, token(manager, ['channel.view']))).toMatchObject({ status: 403 })
    expect(await remove(lower.id, scoped)).toMatchObject({ status: 204 })
  })

  test('that may not see channels sees none', async () => {
    const blind = token(admin, ['channel.manage'])
    const list = await system.call('GET', '/v1/channels', blind)
    expect((list.body as Page<Channel>).items).toEqual([])
    expect(await system.call('GET', `/v1/channels/${channel.id}`, blind)).toMatchObject({ status: 404 })
  })
})

describe('a channel that begins with overrides', () => {
  const team = (): Sides & { targetId: string } => ({ targetId: own.id, allow: ['channel.view'], deny: [] })
  const closed = () => ({ targetId: system.authority.snapshot.roles[0]!.id, allow: [], deny: ['channel.view'] })
  const post = (body: object, caller: Caller = manager) =>
    system.call('POST', '/v1/channels', caller, { name: newId(), type: 'text', ...body })

  test('is private from the first moment, and its news is its own', async () => {
    const before = (await system.streamOf('server')).length
    const told: string[] = []
    const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
    const made = await post({ name: 'our secret', overrides: [closed(), team()] })
    await end()
    expect(made.status).toBe(201)
    const { id } = made.body as Channel
    expect(told).toHaveLength(1)
    expect((await system.streamOf('server')).length).toBe(before)
    expect(JSON.stringify(system.heard)).not.toContain('our secret')
    await eventually(() => system.messaging.appended.find((event) => event.stream === `channel:${id}`))
    const rows = await system.databases.system.select().from(channelOverrides)
    expect(rows.filter((row) => row.channelId === id)).toHaveLength(2)
    const set = await eventually(async () => {
      const events = (await system.trail('override.set')).filter((event) => event.target.id === id)
      return events.length === 2 ? events : undefined
    })
    expect(set.map((event) => event.data.targetId)).toEqual(expect.arrayContaining([own.id, closed().targetId]))
  })

  test('begins with none that its maker could not set', async () => {
    const count = async () => (await system.trail('channel.created')).length
    const before = await count()
    const over = (targetId: string, sides: Partial<Sides>) =>
      post({ overrides: [{ targetId, allow: [], deny: [], ...sides }] })
    expect(await over(higher.id, { deny: ['message.pin'] })).toMatchObject(refused)
    expect(await over(manager.userId, { allow: ['message.pin'] })).toMatchObject(refused)
    expect(await over(own.id, { deny: ['message.pin'] })).toMatchObject(refused)
    expect(await over(lower.id, { allow: ['message.manage'] })).toMatchObject({ body: { code: 'override.beyondOwn' } })
    expect(await over(newId(), {})).toMatchObject({ status: 404, body: { code: 'override.noSuchTarget' } })
    const both: Partial<Sides> = { allow: ['message.pin'], deny: ['message.pin'] }
    expect(await over(lower.id, both)).toMatchObject({ status: 422, body: { code: 'override.contradictory' } })
    expect(await post({ overrides: [team(), team()] })).toMatchObject({ body: { code: 'override.repeated' } })
    expect(await over(lower.id, { allow: ['administrator'] })).toMatchObject({ status: 422 })
    const many = Array.from({ length: 21 }, () => ({ ...team(), targetId: newId() }))
    expect(await post({ overrides: many })).toMatchObject({ status: 422 })
    expect(await post({ overrides: [{ ...team(), channelId: channel.id }] })).toMatchObject({ status: 422 })
    expect(await count()).toBe(before)
  })

  test('in a category begins with what its maker has there, not with what they have elsewhere', async () => {
    const category = await system.channel(admin, { type: 'category' })
    const deny: Sides = { allow: [], deny: ['message.pin'] }
    await system.call('PUT', `/v1/channels/${category.id}/overrides/${own.id}`, admin, deny)
    system.authority.snapshot.overrides.push({ channelId: category.id, targetKind: 'role', targetId: own.id, ...deny })
    await system.authority.changed()
    const overrides = [{ targetId: lower.id, allow: ['message.pin'], deny: [] }]
    expect(await post({ overrides, parentId: category.id })).toMatchObject({ body: { code: 'override.beyondOwn' } })
    expect(await post({ overrides })).toMatchObject({ status: 201 })
  })
})

describe('a channel that is moved', () => {
  test('takes no way around what its category says of those who are not below its mover', async () => {
    const category = await system.channel(admin, { type: 'category' })
    const inside = await system.channel(admin, { parentId: category.id })
    const move = (parentId: string | null, caller = manager) =>
      system.call('PATCH', `/v1/channels/${inside.id}`, caller, { parentId })
    const set = (target: string, sides: Partial<Sides>) =>
      system.call('PUT', `/v1/channels/${category.id}/overrides/${target}`, admin, { allow: [], deny: [], ...sides })
    // What was denied to themselves; what is said of a role above theirs.
    for (const target of [manager.userId, higher.id]) {
      expect(await set(target, { deny: ['message.send'] })).toMatchObject(done)
      expect(await move(null)).toMatchObject(refused)
      expect(await move(null, admin)).toMatchObject(done)
      expect(await move(category.id)).toMatchObject(refused)
      expect(await move(category.id, admin)).toMatchObject(done)
      await system.call('DELETE', `/v1/channels/${category.id}/overrides/${target}`, admin)
    }
    expect(await set(lower.id, { allow: ['message.manage'] })).toMatchObject(done)
    expect(await move(null)).toMatchObject({ status: 403, body: { code: 'override.beyondOwn' } })
    expect(await set(lower.id, { allow: ['message.pin'] })).toMatchObject(done)
    expect(await move(null)).toMatchObject(done)
    expect(await move(category.id)).toMatchObject(done)
  })
})

describe('what roles and accounts that are gone leave behind', () => {
  test('does not show, and is removed in time, with its record', async () => {
    await using fresh = await startSystem()
    const keeper = await fresh.member('administrator')
    const place = await fresh.channel(keeper)
    const [role, gone, here, deleted] = [newId(), newId(), newId(), newId()]
    await fresh.databases.auth.insert(roles).values({ id: role, name: 'r', nameKey: 'r', position: 1, permissions: [] })
    await fresh.databases.auth.insert(users).values(
      [here, deleted].map((id) => ({
        id,
        username: id,
        usernameKey: id,
        usernameSkeleton: id,
        standing: id === here ? ('left' as const) : ('deleted' as const),
      })),
    )
    const kinds = { [role]: 'role', [gone]: 'role', [here]: 'member', [deleted]: 'member' } as const
    const rows = Object.entries(kinds).map(([targetId, targetKind]) => ({
      channelId: place.id,
      targetId,
      targetKind,
      allow: [],
      deny: [],
    }))
    await fresh.databases.system.insert(channelOverrides).values(rows)
    const listed = await fresh.call('GET', `/v1/channels/${place.id}/overrides`, keeper)
    expect((listed.body as Page<{ targetId: string }>).items.map((one) => one.targetId)).not.toContain(gone)
    const next = await fresh.another()
    const removed = await fresh.trail('override.removed', 2)
    await next.service.stop()
    expect(removed.map((event) => event.data.targetId).sort()).toEqual([gone, deleted].sort())
    expect(removed[0]).toMatchObject({ actor: { kind: 'system' }, target: { kind: 'channel', id: place.id } })
    const left = await fresh.databases.system.select().from(channelOverrides)
    expect(left.map((row) => row.targetId).sort()).toEqual([role, here].sort())
  })
})

describe('what is decided while a change waits for the one before it', () => {
  /** Runs `meanwhile` while the request waits for its turn. */
  const whileWaiting = async (request: () => ReturnType<typeof put>, meanwhile: () => Promise<unknown>) => {
    const { db } = system.deps
    const turn = Promise.withResolvers<void>()
    const holding = Promise.withResolvers<void>()
    const before = db.transaction(async (tx) => {
      await tx.execute(sql`select 1 from server_settings for update`)
      holding.resolve()
      await turn.promise
    })
    await holding.promise
    const answer = request()
    await eventually(async () => {
      const waiting = await db.execute(
        sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return waiting.length > 0
    })
    await meanwhile()
    turn.resolve()
    await before
    return answer
  }

  test('counts: whoever was demoted sets and removes nothing any more', async () => {
    const demoted = await withRoles([lower, own])
    const late = await whileWaiting(
      () => put(lower.id, { allow: ['message.pin'] }, demoted),
      () => give(demoted, [lower]),
    )
    expect(late).toMatchObject({ status: 403 })
    expect(await put(lower.id, { allow: ['message.pin'] }, admin)).toMatchObject(done)
    await give(demoted, [lower, own])
    const removal = await whileWaiting(
      () => remove(lower.id, demoted),
      () => give(demoted, [lower]),
    )
    expect(removal).toMatchObject({ status: 403 })
    expect(await remove(lower.id, admin)).toMatchObject({ status: 204 })
  })

  test('counts: whoever was promoted is not shut out any more', async () => {
    const target = await withRoles([lower])
    const late = await whileWaiting(
      () => put(target.userId, { deny: ['message.pin'] }),
      () => give(target, [higher]),
    )
    expect(late).toMatchObject(refused)
  })
})

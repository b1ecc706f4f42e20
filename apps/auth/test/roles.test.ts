import { expect, test } from 'bun:test'
import { everyoneDefaults, type Problem, type Role, subjects } from '@conntext/contracts'
import { memberRoles } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { startAuth } from './stack.ts'

type Roles = { items: Role[]; nextCursor: string | null }
type Stack = Awaited<ReturnType<typeof startAuth>>

const caller = (auth: Stack, token: string | undefined) => ({
  create: (body: unknown) => auth.request<Role & Problem>('POST', '/v1/roles', { token, body }),
  update: (id: string, body: unknown) => auth.request<Role & Problem>('PATCH', `/v1/roles/${id}`, { token, body }),
  remove: (id: string) => auth.request<Problem>('DELETE', `/v1/roles/${id}`, { token }),
  list: (query = '') => auth.request<Roles>('GET', `/v1/roles${query}`, { token }),
})

const positions = async (auth: Stack) =>
  Object.fromEntries((await auth.port.authority({})).roles.map(({ name, position }) => [name, position]))

test('a new role is below all others but @everyone, is audited and told', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const as = caller(auth, owner.accessToken)
  await as.create({ name: 'first' })
  const { status, body } = await as.create({
    name: ' second ',
    colour: '#12ab34',
    permissions: ['message.send', 'member.kick'],
  })
  expect(status).toBe(201)
  expect(body).toMatchObject({
    name: 'second',
    colour: '#12ab34',
    position: 1,
    // In the catalogue's order.
    permissions: ['member.kick', 'message.send'],
    isEveryone: false,
  })
  expect(await positions(auth)).toEqual({ '@everyone': 0, second: 1, first: 2 })
  expect((await auth.actions('role.created'))[1]).toMatchObject({
    actor: { id: owner.user.id },
    target: { kind: 'role', id: body.id },
    data: { name: 'second', permissions: body.permissions },
  })
  expect((await auth.events('role.created'))[1]).toMatchObject({ stream: 'server', data: body })
  expect(await auth.events('role.updated')).toMatchObject([{ data: { name: 'first', position: 2 } }])
})

test('roles are listed once each, page by page', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const as = caller(auth, owner.accessToken)
  for (const name of ['a', 'b', 'c']) await as.create({ name })
  const { body } = await as.list()
  expect(body.items.map(({ name }) => name)).toEqual(['@everyone', 'a', 'b', 'c'])
  const { body: first } = await as.list('?limit=2')
  await as.create({ name: 'd' })
  const { body: rest } = await as.list(`?cursor=${first.nextCursor}`)
  expect([...first.items, ...rest.items].map(({ name }) => name)).toEqual(['@everyone', 'a', 'b', 'c', 'd'])
  expect((await as.list('?limit=x')).status).toBe(422)
  expect((await caller(auth, undefined).list()).status).toBe(401)
})

test('names are unique, whatever the case', async () => {
  await using auth = await startAuth()
  const as = caller(auth, (await auth.owner()).accessToken)
  const { body: mods } = await as.create({ name: 'Mods' })
  const { body: others } = await as.create({ name: 'Others' })
  const taken = { status: 409, body: { code: 'role.nameTaken' } }
  expect(await as.create({ name: 'mods' })).toMatchObject(taken)
  expect(await as.create({ name: '@Everyone' })).toMatchObject(taken)
  expect(await as.update(others.id, { name: 'MODS' })).toMatchObject(taken)
  expect((await as.update(mods.id, { name: 'MODS' })).body.name).toBe('MODS')
  const racing = await Promise.all([0, 1, 2].map(() => as.create({ name: 'new' })))
  expect(racing.map(({ status }) => status).sort()).toEqual([201, 409, 409])
})

test('what is not valid is a 422, what is not there a 404, without a token a 401', async () => {
  await using auth = await startAuth()
  const as = caller(auth, (await auth.owner()).accessToken)
  for (const body of [
    {},
    { name: ' ' },
    { name: 'a', colour: 'red' },
    { name: 'a', permissions: ['fly'] },
    { name: 'a', position: 3 },
  ]) {
    expect((await as.create(body)).status).toBe(422)
  }
  const notFound = { status: 404, body: { code: 'role.notFound' } }
  expect(await as.update(newId(), { name: 'a' })).toMatchObject(notFound)
  expect(await as.remove(newId())).toMatchObject(notFound)
  const nobody = caller(auth, undefined)
  const statuses = [await nobody.create({ name: 'a' }), await nobody.update(newId(), {}), await nobody.remove(newId())]
  expect(statuses.map(({ status }) => status)).toEqual([401, 401, 401])
})

test('a change holds at once, raises the version, and is audited with what it was before', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const as = caller(auth, owner.accessToken)
  const { body: role } = await as.create({ name: 'crew' })
  await auth.give(owner, ann.user.id, [role.id])
  const { version } = await auth.port.authority({})
  auth.published.length = 0

  const { status, body } = await as.update(role.id, { name: 'Crew', permissions: ['invite.create'] })
  expect({ status, body }).toEqual({ status: 200, body: { ...role, name: 'Crew', permissions: ['invite.create'] } })
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)
  expect((await auth.port.authority({})).version).toBeGreaterThan(version)
  expect(auth.published).toEqual([{ subject: subjects.authority, payload: {} }])
  expect(await auth.actions('role.updated')).toMatchObject([
    { target: { id: role.id }, data: { changes: { name: { from: 'crew', to: 'Crew' }, permissions: { from: [] } } } },
  ])
  expect(await auth.events('role.updated')).toMatchObject([{ data: body }])

  expect((await as.update(role.id, { name: 'Crew' })).status).toBe(200)
  expect(await auth.actions('role.updated')).toHaveLength(1)
})

test('a deleted role is taken from whoever had it, and leaves no gap', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const as = caller(auth, owner.accessToken)
  const roles: Role[] = []
  for (const name of ['top', 'middle', 'low'])
    roles.push((await as.create({ name, permissions: ['invite.create'] })).body)
  await auth.give(owner, ann.user.id, [roles[1]!.id])
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)

  const { status, text } = await as.remove(roles[1]!.id)
  expect({ status, text }).toEqual({ status: 204, text: '' })
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(false)
  expect(await auth.port.grant({ userId: ann.user.id })).toMatchObject({ roleIds: [] })
  expect(await positions(auth)).toEqual({ '@everyone': 0, low: 1, top: 2 })
  expect(await auth.actions('role.deleted')).toMatchObject([{ target: { id: roles[1]!.id }, data: { name: 'middle' } }])
  expect(await auth.events('role.deleted')).toMatchObject([{ data: { id: roles[1]!.id } }])
})

test('positions stay gapless whatever happens at once', async () => {
  await using auth = await startAuth()
  const as = caller(auth, (await auth.owner()).accessToken)
  const made = await Promise.all(Array.from({ length: 8 }, (_, i) => as.create({ name: `r${i}` })))
  await Promise.all([
    ...made.slice(0, 4).map(({ body }) => as.remove(body.id)),
    ...Array.from({ length: 4 }, (_, i) => as.create({ name: `s${i}` })),
  ])
  expect(Object.values(await positions(auth)).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
})

test('@everyone keeps its name and stays; its permissions change', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const as = caller(auth, owner.accessToken)
  const everyone = (await as.list()).body.items.find((role) => role.isEveryone)!
  expect(everyone).toMatchObject({ name: '@everyone', position: 0, permissions: everyoneDefaults })
  const fixed = { status: 409, body: { code: 'role.everyoneFixed' } }
  expect(await as.remove(everyone.id)).toMatchObject(fixed)
  expect(await as.update(everyone.id, { name: 'all' })).toMatchObject(fixed)
  expect((await as.update(everyone.id, { permissions: ['invite.create'] })).status).toBe(200)
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'message.send')).toBe(false)
})

test('without role.manage it is a 403, and audited', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const role = await auth.role(owner, 'crew')
  const as = caller(auth, (await auth.member('ann')).accessToken)
  const forbidden = { status: 403, body: { code: 'access.forbidden' } }
  expect(await as.create({ name: 'mine' })).toMatchObject(forbidden)
  expect(await as.update(role.id, { name: 'mine' })).toMatchObject(forbidden)
  expect(await as.remove(role.id)).toMatchObject(forbidden)
  expect((await as.list()).status).toBe(200)
  const routes = (await auth.refusals('access.refused', 3)).map((event) => event.target.id)
  expect(routes).toEqual(['POST /v1/roles', 'PATCH /v1/roles/:id', 'DELETE /v1/roles/:id'])
})

test('whoever manages roles stays below their own highest one and grants only what they have', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await auth.member('mod')
  const above = await auth.role(owner, 'above')
  const mods = await auth.role(owner, 'mods', ['role.manage', 'message.manage'])
  const below = await auth.role(owner, 'below', ['member.ban'])
  await auth.give(owner, mod.user.id, [mods.id])
  const as = caller(auth, mod.accessToken)

  const notHeld = { status: 403, body: { code: 'role.permissionNotHeld' } }
  expect(await as.create({ name: 'x', permissions: ['member.kick'] })).toMatchObject(notHeld)
  expect(await as.create({ name: 'x', permissions: ['administrator'] })).toMatchObject(notHeld)
  expect((await as.create({ name: 'x', permissions: ['message.manage', 'message.send'] })).status).toBe(201)
  expect(await as.update(below.id, { permissions: ['member.ban', 'member.kick'] })).toMatchObject(notHeld)
  // What a role has already may stay, and may go.
  expect((await as.update(below.id, { permissions: ['member.ban', 'message.manage'] })).status).toBe(200)
  expect((await as.update(below.id, { permissions: [] })).status).toBe(200)

  const notBelow = { status: 403, body: { code: 'role.notBelowYours' } }
  for (const role of [mods, above]) {
    expect(await as.update(role.id, { name: 'mine' })).toMatchObject(notBelow)
    expect(await as.remove(role.id)).toMatchObject(notBelow)
  }
  expect((await as.remove(below.id)).status).toBe(204)
})

test('an administrator grants every permission, but is no owner', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const admin = await auth.member('admin')
  const admins = await auth.role(owner, 'admins', ['administrator'])
  await auth.give(owner, admin.user.id, [admins.id])
  const as = caller(auth, admin.accessToken)
  expect((await as.create({ name: 'x', permissions: ['administrator', 'member.ban'] })).status).toBe(201)
  expect(await as.remove(admins.id)).toMatchObject({ status: 403, body: { code: 'role.notBelowYours' } })
})

test('what counts is what one may do when the change is made, not what the cache says', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await auth.member('mod')
  const mods = await auth.role(owner, 'mods', ['role.manage'])
  const below = await auth.role(owner, 'below')
  await auth.give(owner, mod.user.id, [mods.id])
  expect(await auth.service.guard.allows({ userId: mod.user.id }, 'role.manage')).toBe(true)
  // Taken behind the guard's back, as by another instance a moment ago.
  await auth.database.auth.delete(memberRoles)
  expect(await auth.service.guard.allows({ userId: mod.user.id }, 'role.manage')).toBe(true)
  const forbidden = { status: 403, body: { code: 'access.forbidden' } }
  expect(await caller(auth, mod.accessToken).create({ name: 'late' })).toMatchObject(forbidden)
  expect(await auth.give(mod, mod.user.id, [below.id])).toMatchObject(forbidden)
})

test('a repeat with the same Idempotency-Key answers what the first did', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.owner()
  const create = (key: string) =>
    auth.request<Role & Problem>('POST', '/v1/roles', {
      token: accessToken,
      body: { name: 'crew' },
      headers: { 'idempotency-key': key },
    })
  const first = await create('one')
  expect(first.status).toBe(201)
  expect(await create('one')).toMatchObject({ status: 201, body: { id: first.body.id } })
  expect(await create('two')).toMatchObject({ status: 409, body: { code: 'role.nameTaken' } })
  expect(await auth.actions('role.created')).toHaveLength(1)
})

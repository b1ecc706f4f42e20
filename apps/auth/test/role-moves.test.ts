import { expect, test } from 'bun:test'
import type { Authenticated, Problem, Role } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { startAuth } from './stack.ts'
import { apiToken, forbidden, ranked, refusal, type Stack, withMfa } from './support/authority.ts'

const roles = (auth: Stack, token: string | undefined) => ({
  get: (id: string) => auth.request<Role & Problem>('GET', `/v1/roles/${id}`, { token }),
  create: (body: object) => auth.request<Role & Problem>('POST', '/v1/roles', { token, body }),
  update: (id: string, body: object) => auth.request<Role & Problem>('PATCH', `/v1/roles/${id}`, { token, body }),
  remove: (id: string) => auth.request<Problem>('DELETE', `/v1/roles/${id}`, { token }),
})

/** The roles' names from the lowest up, @everyone left out. */
const order = async (auth: Stack) => {
  const all = (await auth.port.authority({})).roles.toSorted((a, b) => a.position - b.position)
  expect(all.map(({ position }) => position)).toEqual(all.map((_, index) => index))
  return all
    .slice(1)
    .map(({ name }) => name)
    .join('')
}

async function withRoles(auth: Stack, names: string) {
  const owner = await auth.owner()
  const made: Record<string, Role> = {}
  // Each new one goes below the others: the last is the lowest.
  for (const name of names) made[name] = await auth.role(owner, name)
  return { owner, made, as: roles(auth, owner.accessToken) }
}

const outranked = refusal(403, 'role.notBelowYours')
const notHeld = refusal(403, 'role.permissionNotHeld')

test('a role is shown by its id', async () => {
  await using auth = await startAuth()
  const { made, as } = await withRoles(auth, 'a')
  expect(await as.get(made.a!.id)).toMatchObject({ status: 200, body: made.a! })
  expect(await as.get(newId())).toMatchObject(refusal(404, 'role.notFound'))
  expect((await as.get('nonsense')).status).toBe(422)
  expect((await roles(auth, undefined).get(made.a!.id)).status).toBe(401)
})

test('a role moves up and down, and those in its way make way, each told of', async () => {
  await using auth = await startAuth()
  const { made, as } = await withRoles(auth, 'edcba')
  expect(await order(auth)).toBe('abcde')
  await auth.delivered()
  auth.system.events.length = 0
  const { version } = await auth.port.authority({})

  const up = await as.update(made.b!.id, { position: 4 })
  expect(up).toMatchObject({ status: 200, body: { name: 'b', position: 4 } })
  expect(await order(auth)).toBe('acdbe')
  const told = (await auth.events('role.updated')).map(({ data }) => data as Role)
  expect(told.map(({ name, position }) => `${name}${position}`)).toEqual(['c2', 'd3', 'b4'])
  expect((await auth.port.authority({})).version).toBe(version + 1)
  expect(await auth.actions('role.updated')).toMatchObject([{ data: { changes: { position: { from: 2, to: 4 } } } }])

  await as.update(made.e!.id, { position: 1, name: 'E' })
  expect(await order(auth)).toBe('Eacdb')
  // Behind the last is the last.
  expect((await as.update(made.a!.id, { position: 250 })).body.position).toBe(5)
  expect(await order(auth)).toBe('Ecdba')
  expect((await as.update(made.a!.id, { position: 5 })).status).toBe(200)
  expect(await auth.actions('role.updated')).toHaveLength(3)
  for (const position of [0, -1, 251, 1.5, '1']) {
    expect((await as.update(made.a!.id, { position })).status).toBe(422)
  }
})

test('@everyone does not move, nor does anything below it', async () => {
  await using auth = await startAuth()
  const { as } = await withRoles(auth, 'ba')
  const everyone = (await auth.port.authority({})).roles.find((role) => role.isEveryone)!
  expect(await as.update(everyone.id, { position: 1 })).toMatchObject(refusal(409, 'role.everyoneFixed'))
  expect(await as.update(everyone.id, { requireMfa: true })).toMatchObject(refusal(409, 'role.everyoneFixed'))
  expect(await order(auth)).toBe('ab')
})

test('nobody but the owner moves a role to or from where they stand, or above', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const above = await auth.role(owner, 'x')
  const mod = await ranked(auth, owner, 'mod', ['role.manage'])
  const [b, a] = [await auth.role(owner, 'b'), await auth.role(owner, 'a')]
  const as = roles(auth, mod.accessToken)
  expect(await as.update(mod.role.id, { position: 1 })).toMatchObject(outranked)
  expect(await as.update(mod.role.id, { position: 4 })).toMatchObject(outranked)
  expect(await as.update(above.id, { position: 1 })).toMatchObject(outranked)
  for (const position of [3, 4, 250]) {
    expect(await as.update(a.id, { position })).toMatchObject(outranked)
  }
  expect(await order(auth)).toBe('abmodx')
  expect(await as.update(a.id, { position: 2 })).toMatchObject({ status: 200 })
  expect(await order(auth)).toBe('bamodx')
  expect(b.position).toBe(1)
  expect(await roles(auth, owner.accessToken).update(a.id, { position: 4 })).toMatchObject({ status: 200 })
  expect(await order(auth)).toBe('bmodxa')
})

test('whoever moves roles at once leaves no gap and loses none', async () => {
  await using auth = await startAuth()
  const { made, as } = await withRoles(auth, 'abcdefgh')
  const moves = Object.values(made).map(({ id }, index) => as.update(id, { position: ((index * 5) % 8) + 1 }))
  const others = ['i', 'j'].map((name) => as.create({ name }))
  const removed = as.remove(made.d!.id)
  const answers = await Promise.all([...moves, ...others, removed])
  for (const { status } of answers) expect([200, 201, 204, 404]).toContain(status)
  expect([...(await order(auth))].sort().join('')).toBe('abcefghij')
})

test('what asks for a second factor counts only for who has one, and only who has one asks for it', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['role.manage', 'invite.create'])
  const as = roles(auth, mod.accessToken)
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  const lacking = refusal(403, 'role.mfaNotHeld')
  expect(await as.create({ name: 'x', requireMfa: true })).toMatchObject(lacking)
  expect(await as.update(ann.role.id, { requireMfa: true })).toMatchObject(lacking)
  await withMfa(auth, mod.id)
  expect(await as.create({ name: 'x', requireMfa: true })).toMatchObject({ status: 201, body: { requireMfa: true } })
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(true)
  expect(await as.update(ann.role.id, { requireMfa: true })).toMatchObject({ status: 200 })
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(false)
  await withMfa(auth, ann.id)
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(true)
  // The owner is asked for none.
  expect((await roles(auth, owner.accessToken).create({ name: 'y', requireMfa: true })).status).toBe(201)
})

test('no longer asking for a second factor is granting, which takes the permissions', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['role.manage'])
  const body = { name: 'bans', permissions: ['member.ban'], requireMfa: true }
  const { body: bans } = await roles(auth, owner.accessToken).create(body)
  const as = roles(auth, mod.accessToken)
  expect(await as.update(bans.id, { requireMfa: false })).toMatchObject(notHeld)
  expect(await as.update(bans.id, { requireMfa: false, permissions: [] })).toMatchObject({ status: 200 })
})

test('a role that asks for a second factor gives who has none neither the right to manage nor a higher place', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const asOwner = roles(auth, owner.accessToken)
  const mod = await auth.member('mod')
  const high = await asOwner.create({ name: 'high', permissions: ['member.ban'], requireMfa: true })
  const between = await auth.role(owner, 'between')
  const low = await auth.role(owner, 'low', ['role.manage'])
  await auth.give(owner, mod.user.id, [high.body.id, low.id])
  const as = roles(auth, mod.accessToken)
  expect(await as.update(between.id, { name: 'mine' })).toMatchObject(outranked)
  expect(await as.create({ name: 'x', permissions: ['member.ban'] })).toMatchObject(notHeld)
  await withMfa(auth, mod.user.id)
  expect(await as.update(between.id, { name: 'mine' })).toMatchObject({ status: 200 })
  expect(await as.create({ name: 'x', permissions: ['member.ban'] })).toMatchObject({ status: 201 })
})

test('an API token manages roles within its scopes, whoever its bearer is', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const crew = await auth.role(owner, 'crew', ['member.kick'])
  const token = (who: Authenticated, ...scopes: Parameters<typeof apiToken>[2]) => apiToken(auth, who, scopes)
  const narrow = roles(auth, await token(owner, 'role.manage', 'invite.create'))
  expect(await narrow.create({ name: 'a', permissions: ['invite.create'] })).toMatchObject({ status: 201 })
  expect(await narrow.create({ name: 'b', permissions: ['member.ban'] })).toMatchObject(notHeld)
  expect(await narrow.update(crew.id, { permissions: ['administrator'] })).toMatchObject(notHeld)
  const other = roles(auth, await token(owner, 'invite.create'))
  expect(await other.create({ name: 'c' })).toMatchObject(forbidden)
  const all = roles(auth, await token(owner, 'administrator'))
  expect(await all.create({ name: 'd', permissions: ['administrator'] })).toMatchObject({ status: 201 })
})

test('names are in one normal form, and hide nothing', async () => {
  await using auth = await startAuth()
  const { as } = await withRoles(auth, 'a')
  expect((await as.create({ name: ' Cafe\u0301 ' })).body.name).toBe('Caf\u00e9')
  expect(await as.create({ name: 'CAF\u00c9' })).toMatchObject(refusal(409, 'role.nameTaken'))
  for (const name of ['a\u202eb', 'ad\u200bmin', 'a\nb', '\u2800', '\u3000']) {
    expect((await as.create({ name })).status).toBe(422)
  }
})

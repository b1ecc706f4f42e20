import { expect, test } from 'bun:test'
import { type Member, type Problem, subjects } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { startAuth } from './stack.ts'

type Members = { items: Member[]; nextCursor: string | null } & Problem

test('members are listed in the order in which they joined, page by page, without those who are gone', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const role = await auth.role(owner, 'guests')
  const names = ['ann', 'bob', 'cid', 'dan']
  for (const name of names) await auth.member(name)
  await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.usernameKey, 'cid'))
  const list = (query: string) => auth.request<Members>('GET', `/v1/members${query}`, { token: owner.accessToken })

  const { status, body } = await list('')
  expect(status).toBe(200)
  expect(body.items.map(({ user }) => user.username)).toEqual(['owner', 'ann', 'bob', 'dan'])
  await auth.give(owner, body.items[1]!.user.id, [role.id])
  const { body: first } = await list('?limit=2')
  const { body: second } = await list(`?limit=2&cursor=${first.nextCursor}`)
  expect(first.items[1]).toMatchObject({ nickname: null, roleIds: [role.id] })
  expect(second.items.map(({ user }) => user.username)).toEqual(['bob', 'dan'])
  expect(second.nextCursor).toBeNull()

  expect((await list('?cursor=%00')).status).toBe(422)
  expect((await list('?limit=0')).status).toBe(422)
  expect((await auth.request('GET', '/v1/members')).status).toBe(401)
})

test('a member is found by id, but not once they have left', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const bob = await auth.member('bob')
  const get = (id: string, token?: string) => auth.request<Member & Problem>('GET', `/v1/members/${id}`, { token })
  expect(await get(bob.user.id, ann.accessToken)).toMatchObject({
    status: 200,
    body: { user: { username: 'bob' }, roleIds: [], joinedAt: bob.user.createdAt },
  })
  await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.id, bob.user.id))
  const notFound = { status: 404, body: { code: 'member.notFound' } }
  expect(await get(bob.user.id, ann.accessToken)).toMatchObject(notFound)
  expect(await get(newId(), ann.accessToken)).toMatchObject(notFound)
  expect((await get('nonsense', ann.accessToken)).status).toBe(422)
  expect((await get(bob.user.id)).status).toBe(401)
})

test('roles are given and taken, which holds at once, is audited and told', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const inviters = await auth.role(owner, 'inviters', ['invite.create'])
  const others = await auth.role(owner, 'others')
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(false)

  const { status, body } = await auth.request<Member>('PATCH', `/v1/members/${ann.user.id}`, {
    token: owner.accessToken,
    body: { roleIds: [others.id, inviters.id] },
    headers: { 'x-audit-reason': 'welcome' },
  })
  expect(status).toBe(200)
  expect(body.roleIds.toSorted()).toEqual([inviters.id, others.id].sort())
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: { userId: ann.user.id } })

  expect((await auth.give(owner, ann.user.id, [others.id])).status).toBe(200)
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(false)
  expect((await auth.give(owner, ann.user.id, [others.id])).status).toBe(200)
  expect(await auth.actions('member.rolesChanged')).toMatchObject([
    { target: { id: ann.user.id }, reason: 'welcome', data: { removed: [] } },
    { data: { added: [], removed: [inviters.id] } },
  ])
  expect(await auth.events('member.updated')).toMatchObject([
    { stream: 'server', data: { userId: ann.user.id } },
    { stream: 'server', data: { userId: ann.user.id, roleIds: [others.id] } },
  ])
})

test('a role that is not there, or @everyone, cannot be given', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const everyone = (await auth.port.authority({})).roles.find((role) => role.isEveryone)!
  expect(await auth.give(owner, ann.user.id, [newId()])).toMatchObject({
    status: 422,
    body: { code: 'member.unknownRole' },
  })
  expect(await auth.give(owner, ann.user.id, [everyone.id])).toMatchObject({
    status: 422,
    body: { code: 'member.everyoneNotGiven' },
  })
  expect((await auth.give(owner, ann.user.id, ['nonsense'])).status).toBe(422)
  expect(await auth.give(owner, newId(), [])).toMatchObject({ status: 404, body: { code: 'member.notFound' } })
  expect((await auth.request('PATCH', `/v1/members/${ann.user.id}`, { body: { roleIds: [] } })).status).toBe(401)
})

test('without role.manage it is a 403, and audited', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const role = await auth.role(owner, 'guests')
  expect(await auth.give(ann, ann.user.id, [role.id])).toMatchObject({
    status: 403,
    body: { code: 'access.forbidden' },
  })
  expect(await auth.refusals('access.refused', 1)).toMatchObject([
    {
      outcome: 'refused',
      actor: { id: ann.user.id },
      target: { kind: 'route', id: 'PATCH /v1/members/:id' },
      data: { permission: 'role.manage' },
    },
  ])
})

test('whoever manages roles gives and takes only those below their own, with nothing they lack', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const [mod, ann] = [await auth.member('mod'), await auth.member('ann')]
  const above = await auth.role(owner, 'above')
  const mods = await auth.role(owner, 'mods', ['role.manage', 'message.manage'])
  const below = await auth.role(owner, 'below', ['message.manage'])
  const bans = await auth.role(owner, 'bans', ['member.ban'])
  await auth.give(owner, mod.user.id, [mods.id])

  expect((await auth.give(mod, ann.user.id, [below.id])).status).toBe(200)
  const notBelow = { status: 403, body: { code: 'role.notBelowYours' } }
  expect(await auth.give(mod, ann.user.id, [below.id, mods.id])).toMatchObject(notBelow)
  expect(await auth.give(mod, ann.user.id, [above.id])).toMatchObject(notBelow)
  expect(await auth.give(mod, mod.user.id, [])).toMatchObject(notBelow)
  expect(await auth.give(mod, mod.user.id, [mods.id, bans.id])).toMatchObject({
    status: 403,
    body: { code: 'role.permissionNotHeld' },
  })
  await auth.give(owner, ann.user.id, [above.id, bans.id])
  expect(await auth.give(mod, ann.user.id, [bans.id])).toMatchObject(notBelow)
  expect((await auth.give(mod, ann.user.id, [above.id])).status).toBe(200)
  expect(await auth.port.grant({ userId: ann.user.id })).toMatchObject({ roleIds: [above.id] })
  expect(await auth.refusals('access.refused', 1)).toMatchObject([{ actor: { id: mod.user.id } }])
})

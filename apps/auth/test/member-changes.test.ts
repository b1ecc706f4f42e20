import { expect, test } from 'bun:test'
import type { Authenticated, Member, Problem } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { startAuth, testClock } from './stack.ts'
import { apiToken, forbidden, notBelowYou, ranked, refusal, type Stack } from './support/authority.ts'

type Members = { items: Member[]; nextCursor: string | null } & Problem

const outranked = refusal(403, 'role.notBelowYours')

const rename = (auth: Stack, token: string, id: string, nickname: string | null) =>
  auth.request<Member & Problem>('PATCH', `/v1/members/${id}`, { token, body: { nickname } })
const put = (auth: Stack, token: string | undefined, id: string, roleId: string) =>
  auth.request<Member & Problem>('PUT', `/v1/members/${id}/roles/${roleId}`, { token })
const take = (auth: Stack, token: string | undefined, id: string, roleId: string) =>
  auth.request<Problem>('DELETE', `/v1/members/${id}/roles/${roleId}`, { token })
const rolesOf = async (auth: Stack, userId: string) => (await auth.port.grant({ userId }))!.roleIds.toSorted()

test('everybody names themselves; the name is kept clean, audited, and told', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const answer = await rename(auth, ann.accessToken, ann.user.id, ' Ann  E\u0301 ')
  expect(answer).toMatchObject({ status: 200, body: { nickname: 'Ann É' } })
  expect(await auth.events('member.updated')).toMatchObject([{ data: { userId: ann.user.id, nickname: 'Ann É' } }])
  const [audited] = await auth.actions('member.nicknameChanged')
  expect(audited).toMatchObject({
    actor: { id: ann.user.id },
    target: { id: ann.user.id },
    data: { changes: { nickname: { from: null, to: 'Ann É' } } },
  })
  // The same again is no change; space alone is no name.
  await rename(auth, ann.accessToken, ann.user.id, 'Ann É')
  expect(await auth.actions('member.nicknameChanged')).toHaveLength(1)
  expect((await rename(auth, ann.accessToken, ann.user.id, '  ')).body.nickname).toBeNull()
  for (const nickname of ['\u202eadmin', 'ad\u200bmin', 'a\u0000', 'x'.repeat(65), '']) {
    expect((await rename(auth, ann.accessToken, ann.user.id, nickname)).status).toBe(422)
  }
})

test('whoever names others has the permission, and stands above them', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const high = await ranked(auth, owner, 'high', ['member.nickname'])
  const mod = await ranked(auth, owner, 'mod', ['member.nickname'])
  const ann = await auth.member('ann')
  const equal = await auth.member('equal')
  await auth.give(owner, equal.user.id, [mod.role.id])
  expect(await rename(auth, ann.accessToken, mod.id, 'x')).toMatchObject(forbidden)
  expect(await rename(auth, mod.accessToken, ann.user.id, 'Anna')).toMatchObject({ status: 200 })
  for (const id of [high.id, equal.user.id, owner.user.id]) {
    expect(await rename(auth, mod.accessToken, id, 'x')).toMatchObject(notBelowYou)
  }
  expect(await rename(auth, high.accessToken, mod.id, 'Mo')).toMatchObject({ status: 200 })
  expect(await rename(auth, mod.accessToken, mod.id, 'Me')).toMatchObject({ status: 200 })
  expect(await rename(auth, owner.accessToken, high.id, 'Hi')).toMatchObject({ status: 200 })
  expect(await rename(auth, owner.accessToken, newId(), 'x')).toMatchObject(refusal(404, 'member.notFound'))
  const refused = await auth.refusals('access.refused', 2)
  expect(refused.map(({ actor, data }) => [actor.id, data.permission])).toEqual([
    [ann.user.id, 'member.nickname'],
    [mod.id, 'member.nickname'],
  ])
})

test('with an API token, a name takes its scope, be it one’s own', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.nickname', 'invite.create'])
  expect(await rename(auth, await apiToken(auth, mod, ['invite.create']), mod.id, 'x')).toMatchObject(forbidden)
  const scoped = await apiToken(auth, mod, ['member.nickname'])
  expect(await rename(auth, scoped, mod.id, 'x')).toMatchObject({ status: 200 })
})

test('during a timeout nobody names themselves', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const timedOutUntil = new Date(clock.now().getTime() + 60_000)
  await auth.database.auth.update(users).set({ timedOutUntil }).where(eq(users.id, ann.user.id))
  expect(await rename(auth, ann.accessToken, ann.user.id, 'x')).toMatchObject(refusal(403, 'member.timedOut'))
  clock.advance(60_000)
  expect(await rename(auth, ann.accessToken, ann.user.id, 'x')).toMatchObject({ status: 200 })
})

test('name and roles change together or not at all', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['role.manage'])
  const low = await auth.role(owner, 'low')
  const ann = await auth.member('ann')
  const patch = (body: object) =>
    auth.request<Member & Problem>('PATCH', `/v1/members/${ann.user.id}`, { token: mod.accessToken, body })
  expect(await patch({ nickname: 'x', roleIds: [low.id] })).toMatchObject(forbidden)
  expect(await rolesOf(auth, ann.user.id)).toEqual([])
  expect(await patch({ roleIds: [low.id] })).toMatchObject({ status: 200, body: { roleIds: [low.id], nickname: null } })
  expect(await patch({})).toMatchObject({ status: 200 })
  expect((await patch({ user: {} })).status).toBe(422)
})

test('a single role is given and taken, once, and holds at once', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const inviters = await auth.role(owner, 'inviters', ['invite.create'])
  const others = await auth.role(owner, 'others')
  await auth.give(owner, ann.user.id, [others.id])
  const both = [inviters.id, others.id].sort()
  const given = await put(auth, owner.accessToken, ann.user.id, inviters.id)
  expect(given.status).toBe(200)
  expect(given.body.roleIds.toSorted()).toEqual(both)
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)
  expect((await put(auth, owner.accessToken, ann.user.id, inviters.id)).status).toBe(200)
  expect(await take(auth, owner.accessToken, ann.user.id, inviters.id)).toMatchObject({ status: 204, text: '' })
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(false)
  expect((await take(auth, owner.accessToken, ann.user.id, inviters.id)).status).toBe(204)
  expect(await rolesOf(auth, ann.user.id)).toEqual([others.id])
  expect((await auth.actions('member.rolesChanged')).slice(1)).toMatchObject([
    { data: { added: [inviters.id], removed: [] } },
    { data: { added: [], removed: [inviters.id] } },
  ])
})

test('a single role follows the rules of giving', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const above = await auth.role(owner, 'above')
  const mod = await ranked(auth, owner, 'mod', ['role.manage'])
  const bans = await auth.role(owner, 'bans', ['member.ban'])
  const low = await auth.role(owner, 'low')
  const ann = await auth.member('ann')
  const everyone = (await auth.port.authority({})).roles.find((role) => role.isEveryone)!
  const as = mod.accessToken
  expect(await put(auth, as, ann.user.id, low.id)).toMatchObject({ status: 200 })
  expect(await put(auth, as, mod.id, low.id)).toMatchObject({ status: 200 })
  for (const role of [above, mod.role]) {
    expect(await put(auth, as, ann.user.id, role.id)).toMatchObject(outranked)
    expect(await put(auth, as, mod.id, role.id)).toMatchObject(outranked)
    expect(await take(auth, as, ann.user.id, role.id)).toMatchObject(outranked)
  }
  expect(await put(auth, as, ann.user.id, bans.id)).toMatchObject(refusal(403, 'role.permissionNotHeld'))
  expect(await put(auth, as, mod.id, bans.id)).toMatchObject(refusal(403, 'role.permissionNotHeld'))
  expect(await put(auth, as, ann.user.id, everyone.id)).toMatchObject(refusal(422, 'member.everyoneNotGiven'))
  expect(await put(auth, as, newId(), low.id)).toMatchObject(refusal(404, 'member.notFound'))
  expect(await put(auth, as, ann.user.id, newId())).toMatchObject(refusal(404, 'role.notFound'))
  expect(await take(auth, as, ann.user.id, newId())).toMatchObject(refusal(404, 'role.notFound'))
  expect(await put(auth, ann.accessToken, ann.user.id, low.id)).toMatchObject(forbidden)
  expect(await take(auth, ann.accessToken, ann.user.id, low.id)).toMatchObject(forbidden)
  expect((await put(auth, undefined, ann.user.id, low.id)).status).toBe(401)
  expect((await put(auth, as, ann.user.id, 'nonsense')).status).toBe(422)
})

test('roles that are given, set and deleted at once end up consistent', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const roles = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) roles.push(await auth.role(owner, name))
  const token = owner.accessToken
  const answers = await Promise.all([
    ...roles.map(({ id }) => put(auth, token, ann.user.id, id)),
    auth.request('DELETE', `/v1/roles/${roles[0]!.id}`, { token }),
    put(auth, token, ann.user.id, roles[0]!.id),
  ])
  for (const { status } of answers) expect([200, 204, 404]).toContain(status)
  // None was lost: each was given beside the others.
  expect(await rolesOf(auth, ann.user.id)).toEqual(
    roles
      .slice(1)
      .map(({ id }) => id)
      .sort(),
  )
})

test('members are found by role and by how their names begin', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const crew = await auth.role(owner, 'crew')
  const people: Record<string, Authenticated> = {}
  for (const name of ['ann', 'Anton', 'bob', 'cid']) people[name] = await auth.member(name)
  await rename(auth, people.bob!.accessToken, people.bob!.user.id, 'ANÄ 100%')
  await auth.database.auth.update(users).set({ displayName: 'Änne' }).where(eq(users.id, people.cid!.user.id))
  await auth.give(owner, people.Anton!.user.id, [crew.id])
  await auth.give(owner, people.bob!.user.id, [crew.id])
  const list = async (query: string) => {
    const { status, body } = await auth.request<Members>('GET', `/v1/members?${query}`, { token: owner.accessToken })
    return status === 200 ? body.items.map(({ user }) => user.username).join() : status
  }
  expect(await list('query=AN')).toBe('ann,Anton,bob')
  expect(await list('query=anä')).toBe('bob')
  expect(await list(`query=${encodeURIComponent('anä 100%')}`)).toBe('bob')
  // No pattern: what is typed is what is meant.
  expect(await list('query=%25')).toBe('')
  expect(await list('query=_nn')).toBe('')
  expect(await list(`query=${encodeURIComponent('A\u0308NN')}`)).toBe('cid')
  expect(await list(`roleId=${crew.id}`)).toBe('Anton,bob')
  expect(await list(`roleId=${crew.id}&query=ant`)).toBe('Anton')
  expect(await list(`roleId=${newId()}`)).toBe('')
  const first = await auth.request<Members>('GET', '/v1/members?query=an&limit=2', { token: owner.accessToken })
  expect(first.body.items).toHaveLength(2)
  expect(await list(`query=an&limit=2&cursor=${first.body.nextCursor}`)).toBe('bob')
  expect(await list('query=')).toBe(422)
  expect(await list('roleId=x')).toBe(422)
})

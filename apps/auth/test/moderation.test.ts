import { expect, test } from 'bun:test'
import type { Authenticated, Member, Problem } from '@conntext/contracts'
import { subjects } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { startAuth, testClock } from './stack.ts'
import {
  apiToken,
  forbidden,
  notBelowYou,
  ranked,
  refusal,
  type Stack,
  setServer,
  withMfa,
} from './support/authority.ts'

const DAY_S = 86_400
const because = { 'x-audit-reason': 'spam' }

const as = (auth: Stack, token: string | undefined, headers: Record<string, string> = {}) => ({
  kick: (id: string) => auth.request<Problem>('POST', `/v1/members/${id}/kick`, { token, headers }),
  timeOut: (id: string, expiresInSeconds: unknown = 60) =>
    auth.request<Member & Problem>('POST', `/v1/members/${id}/timeout`, { token, headers, body: { expiresInSeconds } }),
  lift: (id: string) => auth.request<Problem>('DELETE', `/v1/members/${id}/timeout`, { token, headers }),
})

const known = async (auth: Stack, { accessToken }: Authenticated) =>
  (await auth.service.guard.identify(accessToken)) !== undefined
const may = (auth: Stack, userId: string) => auth.service.guard.allows({ userId }, 'message.send')

test('a kick ends place, roles, sessions and tokens at once; the account stays', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.kick'])
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  const token = await apiToken(auth, ann, ['invite.create'])
  expect(await may(auth, ann.id)).toBe(true)
  expect(await auth.service.guard.identify(token)).toBeDefined()
  auth.published.length = 0

  expect(await as(auth, mod.accessToken, because).kick(ann.id)).toMatchObject({ status: 204, text: '' })
  expect(await known(auth, ann)).toBe(false)
  expect(await auth.service.guard.identify(token)).toBeUndefined()
  expect(await may(auth, ann.id)).toBe(false)
  expect(await auth.port.grant({ userId: ann.id })).toMatchObject({ standing: 'left', roleIds: [] })
  expect(auth.published.filter(({ subject }) => subject === subjects.sessionRevoked)).toHaveLength(2)
  expect((await auth.refresh(ann.refreshToken)).status).toBe(401)
  expect(await as(auth, mod.accessToken).kick(ann.id)).toMatchObject(refusal(404, 'member.notFound'))

  expect(await auth.actions('member.kicked')).toMatchObject([
    { actor: { id: mod.id }, target: { id: ann.id }, reason: 'spam' },
  ])
  expect((await auth.actions('member.rolesChanged')).at(-1)).toMatchObject({ data: { removed: [ann.role.id] } })
  expect(await auth.actions('session.revoked')).toMatchObject([{ data: { userId: ann.id, by: 'kick' } }])
  expect(await auth.actions('token.revoked')).toMatchObject([{ data: { userId: ann.id, by: 'kick' } }])
  expect(await auth.events('member.left')).toMatchObject([{ stream: 'server', data: { userId: ann.id } }])
  const back = await auth.login('ann')
  expect(back).toMatchObject({ status: 200, body: { user: { isMember: false } } })
})

test('a timeout silences at once, until then, and is told; another one sets another end', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.timeout'])
  const ann = await auth.member('ann')
  const id = ann.user.id
  expect(await may(auth, id)).toBe(true)
  const until = (seconds: number) => new Date(clock.now().getTime() + seconds * 1000).toISOString()
  const answer = await as(auth, mod.accessToken, because).timeOut(id, 120)
  expect(answer).toMatchObject({ status: 200, body: { timedOutUntil: until(120) } })
  expect(await may(auth, id)).toBe(false)
  expect(await auth.service.guard.allows({ userId: id }, 'message.history')).toBe(true)
  expect(await known(auth, ann)).toBe(true)
  expect(await auth.events('member.updated')).toMatchObject([
    { data: { userId: mod.id } },
    { data: { userId: id, timedOutUntil: until(120) } },
  ])
  expect(await auth.actions('member.timedOut')).toMatchObject([
    { actor: { id: mod.id }, target: { id }, reason: 'spam', data: { until: until(120), before: null } },
  ])
  expect((await as(auth, mod.accessToken).timeOut(id, 60)).body.timedOutUntil).toBe(until(60))
  expect((await auth.actions('member.timedOut'))[1]).toMatchObject({ data: { until: until(60), before: until(120) } })
  clock.advance(59_999)
  expect(await may(auth, id)).toBe(false)
  clock.advance(1)
  expect(await may(auth, id)).toBe(true)
})

test('a timeout is lifted, at once, and where there is none nothing happens', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.timeout'])
  const { user } = await auth.member('ann')
  const moderator = as(auth, mod.accessToken, because)
  await moderator.timeOut(user.id)
  expect(await may(auth, user.id)).toBe(false)
  expect(await moderator.lift(user.id)).toMatchObject({ status: 204, text: '' })
  expect(await may(auth, user.id)).toBe(true)
  expect((await moderator.lift(user.id)).status).toBe(204)
  expect(await auth.actions('member.timeoutLifted')).toMatchObject([
    { target: { id: user.id }, reason: 'spam', data: { until: expect.any(String) } },
  ])
  expect((await auth.events('member.updated')).at(-1)).toMatchObject({ data: { timedOutUntil: null } })
})

test('nobody silenced lifts it, be they a moderator, nor is rid of it by leaving', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.timeout', 'member.kick', 'role.manage'])
  const ann = await auth.member('ann')
  await as(auth, owner.accessToken).timeOut(mod.id)
  for (const answer of [
    await as(auth, mod.accessToken).lift(mod.id),
    await as(auth, mod.accessToken).kick(ann.user.id),
    await as(auth, mod.accessToken).timeOut(ann.user.id),
    await auth.give(mod, mod.id, []),
  ]) {
    expect(answer).toMatchObject(forbidden)
  }
  const token = mod.accessToken
  expect((await auth.request('DELETE', '/v1/members/@me', { token })).status).toBe(204)
  const back = await auth.request<Member>('PUT', '/v1/members/@me', { token, body: {} })
  expect(back).toMatchObject({ status: 200, body: { timedOutUntil: expect.any(String) } })
})

test('only who stands strictly below is moderated; oneself and the owner never', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const high = await ranked(auth, owner, 'high')
  const mod = await ranked(auth, owner, 'mod', ['member.kick', 'member.timeout'])
  const equal = await auth.member('equal')
  await auth.give(owner, equal.user.id, [mod.role.id])
  const moderator = as(auth, mod.accessToken)
  for (const id of [high.id, equal.user.id, mod.id, owner.user.id]) {
    expect(await moderator.kick(id)).toMatchObject(notBelowYou)
    expect(await moderator.timeOut(id)).toMatchObject(notBelowYou)
    expect(await moderator.lift(id)).toMatchObject(notBelowYou)
  }
  for (const method of ['kick', 'timeOut', 'lift'] as const) {
    expect(await as(auth, owner.accessToken)[method](owner.user.id)).toMatchObject(notBelowYou)
    expect(await as(auth, high.accessToken)[method](mod.id)).toMatchObject(forbidden)
  }
  const routes = (await auth.refusals('access.refused', 6)).map(({ data, target }) => [target.id, data.permission])
  expect(routes.slice(0, 3)).toEqual([
    ['POST /v1/members/:id/kick', 'member.kick'],
    ['POST /v1/members/:id/timeout', 'member.timeout'],
    ['DELETE /v1/members/:id/timeout', 'member.timeout'],
  ])
})

test('whoever stands nowhere moderates nobody, though @everyone had the permission', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const everyone = (await auth.port.authority({})).roles.find((role) => role.isEveryone)!
  const body = { permissions: ['member.kick'] }
  await auth.request('PATCH', `/v1/roles/${everyone.id}`, { token: owner.accessToken, body })
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  expect(await as(auth, ann.accessToken).kick(bob.user.id)).toMatchObject(notBelowYou)
})

test('an administrator is beyond timeouts, and a role that lacks its second factor protects all the same', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const admin = await ranked(auth, owner, 'admin', ['administrator'])
  const high = await auth.request<{ id: string }>('POST', '/v1/roles', {
    token: owner.accessToken,
    body: { name: 'high', requireMfa: true },
  })
  const mod = await ranked(auth, owner, 'mod', ['member.kick'])
  const ann = await auth.member('ann')
  await auth.give(owner, ann.user.id, [high.body.id])
  expect(await as(auth, owner.accessToken).timeOut(admin.id)).toMatchObject(
    refusal(409, 'moderation.administratorExempt'),
  )
  expect(await as(auth, mod.accessToken).kick(ann.user.id)).toMatchObject(notBelowYou)
  // Yet whoever lacks it doesn't stand there when they act.
  await auth.give(owner, ann.user.id, [high.body.id, mod.role.id])
  const other = await ranked(auth, owner, 'other')
  await auth.give(owner, other.id, [mod.role.id])
  expect(await as(auth, ann.accessToken).kick(other.id)).toMatchObject(notBelowYou)
  await withMfa(auth, ann.user.id)
  expect((await as(auth, ann.accessToken).kick(other.id)).status).toBe(204)
})

test('bots are moderated like members, and moderate within their tokens’ scopes', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.kick', 'member.timeout'])
  const bot = { id: newId(), username: 'bot', usernameKey: 'bot', usernameSkeleton: 'bot', kind: 'bot' as const }
  await auth.database.auth.insert(users).values(bot)
  expect(await as(auth, mod.accessToken).timeOut(bot.id)).toMatchObject({ status: 200 })
  const ann = await auth.member('ann')
  const kickOnly = await apiToken(auth, mod, ['member.kick'])
  expect(await as(auth, kickOnly).timeOut(ann.user.id)).toMatchObject(forbidden)
  expect((await as(auth, kickOnly).kick(ann.user.id)).status).toBe(204)
  expect((await as(auth, mod.accessToken).kick(bot.id)).status).toBe(204)
})

test('where the server asks for a reason, there is none without', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  await setServer(auth, { requireModerationReason: true })
  const required = refusal(422, 'moderation.reasonRequired')
  for (const headers of [{}, { 'x-audit-reason': '  ' }, { 'x-audit-reason': '%20%20' }] as Record<string, string>[]) {
    const moderator = as(auth, owner.accessToken, headers)
    expect(await moderator.timeOut(user.id)).toMatchObject(required)
    expect(await moderator.lift(user.id)).toMatchObject(required)
    expect(await moderator.kick(user.id)).toMatchObject(required)
  }
  const moderator = as(auth, owner.accessToken, { 'x-audit-reason': '%20zu%20laut%20' })
  expect((await moderator.timeOut(user.id)).status).toBe(200)
  expect((await moderator.lift(user.id)).status).toBe(204)
  expect((await moderator.kick(user.id)).status).toBe(204)
  expect((await auth.actions('member.kicked'))[0]!.reason).toBe('zu laut')
})

test('what is not valid is a 422, what is not there a 404, without a token a 401', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken)
  for (const seconds of [59, 28 * DAY_S + 1, 60.5, '60', null, undefined]) {
    const body = { expiresInSeconds: seconds }
    const request = { token: owner.accessToken, body }
    expect((await auth.request('POST', `/v1/members/${user.id}/timeout`, request)).status).toBe(422)
  }
  expect((await moderator.timeOut(user.id, 28 * DAY_S)).status).toBe(200)
  await auth.database.auth.update(users).set({ standing: 'deleted' }).where(eq(users.id, user.id))
  for (const method of ['kick', 'timeOut', 'lift'] as const) {
    expect(await moderator[method](user.id)).toMatchObject(refusal(404, 'member.notFound'))
    expect(await moderator[method](newId())).toMatchObject(refusal(404, 'member.notFound'))
    expect((await moderator[method]('@me')).status).toBe(422)
    expect((await as(auth, undefined)[method](user.id)).status).toBe(401)
  }
})

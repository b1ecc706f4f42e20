import { expect, test } from 'bun:test'
import { type Ban, type Member, type Problem, subjects, systemActor } from '@conntext/contracts'
import { bans, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq } from 'drizzle-orm'
import { createAuthService } from '../src/service.ts'
import { startAuth, testClock } from './stack.ts'
import { apiToken, forbidden, notBelowYou, ranked, refusal, type Stack, setServer } from './support/authority.ts'

type Bans = { items: Ban[]; nextCursor: string | null }

const MINUTE = 60_000
const because = { 'x-audit-reason': 'spam' }

const as = (auth: Stack, token: string | undefined, headers: Record<string, string> = {}) => ({
  ban: (userId: string, more: object = {}) =>
    auth.request<Ban & Problem>('POST', '/v1/bans', { token, headers, body: { userId, ...more } }),
  lift: (userId: string) => auth.request<Problem>('DELETE', `/v1/bans/${userId}`, { token, headers }),
  get: (userId: string) => auth.request<Ban & Problem>('GET', `/v1/bans/${userId}`, { token }),
  list: (query = '') => auth.request<Bans & Problem>('GET', `/v1/bans${query}`, { token }),
})

const standing = async (auth: Stack, userId: string) => (await auth.port.grant({ userId }))?.standing
const notBanned = refusal(404, 'ban.notFound')

test('a ban ends place, roles, sessions and tokens at once, and keeps them out', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.ban'])
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  const token = await apiToken(auth, ann, ['invite.create'])
  expect(await auth.service.guard.identify(token)).toBeDefined()
  auth.published.length = 0

  const answer = await as(auth, mod.accessToken, because).ban(ann.id)
  expect(answer).toMatchObject({
    status: 201,
    body: { user: { id: ann.id, username: 'ann' }, bannedBy: mod.id, reason: 'spam', expiresAt: null },
  })
  expect(await auth.service.guard.identify(ann.accessToken)).toBeUndefined()
  expect(await auth.service.guard.identify(token)).toBeUndefined()
  expect(await auth.service.guard.allows({ userId: ann.id }, 'channel.view')).toBe(false)
  expect(await auth.port.grant({ userId: ann.id })).toMatchObject({ standing: 'banned', roleIds: [] })
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: { userId: ann.id } })
  expect(auth.published.filter(({ subject }) => subject === subjects.sessionRevoked)).toHaveLength(2)
  expect((await auth.refresh(ann.refreshToken)).status).toBe(401)
  expect(await auth.login('ann')).toMatchObject({ status: 403 })

  expect(await auth.actions('member.banned')).toMatchObject([
    {
      actor: { id: mod.id },
      target: { id: ann.id },
      reason: 'spam',
      data: { expiresAt: null, deletedMessagesSince: null },
    },
  ])
  expect((await auth.actions('member.rolesChanged')).at(-1)).toMatchObject({ data: { removed: [ann.role.id] } })
  expect(await auth.actions('session.revoked')).toMatchObject([{ data: { userId: ann.id, by: 'ban' } }])
  expect(await auth.actions('token.revoked')).toMatchObject([{ data: { userId: ann.id, by: 'ban' } }])
  expect(await auth.events('member.left')).toMatchObject([{ data: { userId: ann.id } }])
  expect(auth.deletions).toEqual([])
})

test('with a ban, recent messages are deleted where that was asked for', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken, { ...because, 'x-conntext-address': '192.0.2.7' })
  await moderator.ban(user.id, { deleteMessagesSeconds: 3600 })
  const since = new Date(clock.now().getTime() - 3_600_000).toISOString()
  await auth.delivered()
  expect(auth.deletions).toEqual([
    {
      operation: 'deleteMessagesOf',
      request: {
        id: expect.any(String),
        userId: user.id,
        since,
        actor: expect.objectContaining({ id: owner.user.id, reason: 'spam', address: null, userAgent: null }),
      },
    },
  ])
  expect(await auth.actions('member.banned')).toMatchObject([
    { actor: { address: '192.0.2.7' }, data: { deletedMessagesSince: since } },
  ])
})

test('who has left can be banned, and then cannot come back', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const token = ann.accessToken
  expect((await auth.request('DELETE', '/v1/members/@me', { token })).status).toBe(204)
  expect(await as(auth, owner.accessToken).ban(ann.user.id)).toMatchObject({ status: 201 })
  expect((await auth.request('PUT', '/v1/members/@me', { token, body: {} })).status).toBe(401)
  expect(await auth.events('member.left')).toHaveLength(1)
})

test('only who stands strictly below is banned; oneself and the owner never', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const high = await ranked(auth, owner, 'high')
  const mod = await ranked(auth, owner, 'mod', ['member.ban'])
  const equal = await auth.member('equal')
  await auth.give(owner, equal.user.id, [mod.role.id])
  const admin = await ranked(auth, owner, 'admin', ['administrator'])
  for (const id of [high.id, equal.user.id, mod.id, owner.user.id]) {
    expect(await as(auth, mod.accessToken).ban(id)).toMatchObject(notBelowYou)
  }
  // An administrator with a low role is no safer, and reaches no higher.
  expect(await as(auth, admin.accessToken).ban(mod.id)).toMatchObject(notBelowYou)
  expect(await as(auth, owner.accessToken).ban(owner.user.id)).toMatchObject(notBelowYou)
  expect(await as(auth, mod.accessToken).ban(admin.id)).toMatchObject({ status: 201 })
  const refused = await auth.refusals('access.refused', 2)
  expect(refused[0]).toMatchObject({ target: { id: 'POST /v1/bans' }, data: { permission: 'member.ban' } })
})

test('a lifted ban makes them a member again, without roles, told and audited', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.ban'])
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  await as(auth, owner.accessToken).ban(ann.id)
  clock.advance(MINUTE)
  expect(await as(auth, mod.accessToken, { 'x-audit-reason': 'sorry' }).lift(ann.id)).toMatchObject({
    status: 204,
    text: '',
  })
  expect(await auth.port.grant({ userId: ann.id })).toMatchObject({ standing: 'active', roleIds: [] })
  const joinedAt = clock.now().toISOString()
  expect((await auth.events('member.joined')).at(-1)).toMatchObject({
    data: { user: { id: ann.id }, roleIds: [], joinedAt },
  })
  expect(await auth.actions('member.unbanned')).toMatchObject([
    { actor: { id: mod.id }, target: { id: ann.id }, reason: 'sorry', data: { by: 'moderator' } },
  ])
  // What was ended stays ended: they log in anew.
  expect(await auth.service.guard.identify(ann.accessToken)).toBeUndefined()
  expect(await auth.login('ann')).toMatchObject({ status: 200, body: { user: { isMember: true } } })
  expect(await as(auth, mod.accessToken).lift(ann.id)).toMatchObject(notBanned)
  expect(await as(auth, mod.accessToken).ban(ann.id)).toMatchObject({ status: 201 })
})

test('bans are listed newest first, page by page, with who and why', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const moderator = as(auth, owner.accessToken, because)
  for (const name of ['ann', 'bob', 'cid', 'dan']) {
    const { user } = await auth.member(name)
    await moderator.ban(user.id, name === 'cid' ? { expiresInSeconds: 60 } : {})
    // Two in the same millisecond are told apart as well.
    if (name !== 'ann') clock.advance(1_000)
  }
  const names = ({ items }: Bans) => items.map(({ user }) => user.username)
  const { body } = await moderator.list()
  expect(names(body)).toEqual(['dan', 'cid', 'bob', 'ann'])
  expect(body.items[1]).toMatchObject({ reason: 'spam', bannedBy: owner.user.id, expiresAt: expect.any(String) })
  const pages: string[][] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: Bans = (await moderator.list(`?limit=1${cursor && `&cursor=${cursor}`}`)).body
    pages.push(names(page))
    cursor = page.nextCursor
  }
  expect(pages).toEqual([['dan'], ['cid'], ['bob'], ['ann']])
  expect(await moderator.get(body.items[0]!.user.id)).toMatchObject({ status: 200, body: body.items[0]! })
  clock.advance(MINUTE)
  // Which ends it.
  await auth.login('cid')
  expect(names((await moderator.list()).body)).toEqual(['dan', 'bob', 'ann'])
  expect(await moderator.get(body.items[1]!.user.id)).toMatchObject(notBanned)
  expect((await moderator.list('?cursor=x')).status).toBe(422)
  const beyond = Buffer.from(`${'9'.repeat(15)} ${newId()}`).toString('base64url')
  expect((await moderator.list(`?cursor=${beyond}`)).status).toBe(422)
  expect((await moderator.list('?limit=0')).status).toBe(422)
})

test('without member.ban there is nothing to see and nothing to do', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  await as(auth, owner.accessToken).ban(bob.user.id)
  const mod = await ranked(auth, owner, 'mod', ['member.ban', 'member.kick'])
  for (const token of [ann.accessToken, await apiToken(auth, mod, ['member.kick'])]) {
    const one = as(auth, token)
    for (const answer of [one.ban(ann.user.id), one.lift(bob.user.id), one.get(bob.user.id), one.list()]) {
      expect(await answer).toMatchObject(forbidden)
    }
  }
  const nobody = as(auth, undefined)
  for (const answer of [nobody.ban(ann.user.id), nobody.lift(bob.user.id), nobody.get(bob.user.id), nobody.list()]) {
    expect((await answer).status).toBe(401)
  }
})

test('what is not valid is a 422, who is not there a 404, who is banned a 409', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken)
  for (const more of [
    { expiresInSeconds: 59 },
    { expiresInSeconds: 31_536_001 },
    { deleteMessagesSeconds: -1 },
    { deleteMessagesSeconds: 604_801 },
    { reason: 'x' },
    { bannedBy: user.id },
  ]) {
    expect((await moderator.ban(user.id, more)).status).toBe(422)
  }
  expect((await moderator.ban('nonsense')).status).toBe(422)
  expect((await moderator.lift('nonsense')).status).toBe(422)
  expect(await moderator.ban(newId())).toMatchObject(refusal(404, 'user.notFound'))
  expect(await moderator.lift(user.id)).toMatchObject(notBanned)
  expect(await moderator.get(user.id)).toMatchObject(notBanned)
  await moderator.ban(user.id)
  expect(await moderator.ban(user.id)).toMatchObject(refusal(409, 'ban.exists'))
  await auth.database.auth.update(users).set({ standing: 'deleted' }).where(eq(users.id, user.id))
  expect(await moderator.ban(user.id)).toMatchObject(refusal(404, 'user.notFound'))
})

test('where the server asks for a reason, neither a ban nor its lifting goes without', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  await setServer(auth, { requireModerationReason: true })
  const required = refusal(422, 'moderation.reasonRequired')
  expect(await as(auth, owner.accessToken).ban(user.id)).toMatchObject(required)
  expect(await as(auth, owner.accessToken, because).ban(user.id)).toMatchObject({ status: 201 })
  expect(await as(auth, owner.accessToken, { 'x-audit-reason': ' ' }).lift(user.id)).toMatchObject(required)
  expect(await as(auth, owner.accessToken, because).lift(user.id)).toMatchObject({ status: 204 })
})

test('of moderators who ban the same person, or one another, at once, one does', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mods = []
  for (const name of ['m1', 'm2', 'm3']) mods.push(await ranked(auth, owner, name, ['member.ban']))
  const { user } = await auth.member('ann')
  const answers = await Promise.all(mods.map((mod) => as(auth, mod.accessToken).ban(user.id)))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  expect(await auth.actions('member.banned')).toHaveLength(1)
  // m1 stands above m2: whether or not m2 acts in time, m1 is never banned, and m3 is by one of them.
  const [m1, m2, m3] = mods
  const clash = await Promise.all([
    as(auth, m1!.accessToken).ban(m2!.id),
    as(auth, m2!.accessToken).ban(m1!.id),
    as(auth, m2!.accessToken).ban(m3!.id),
    as(auth, m1!.accessToken).ban(m3!.id),
  ])
  expect(clash[0].status).toBe(201)
  expect(clash[1].status).not.toBe(201)
  expect(clash.slice(2).filter(({ status }) => status === 201)).toHaveLength(1)
  expect([await standing(auth, m1!.id), await standing(auth, m2!.id), await standing(auth, m3!.id)]).toEqual([
    'active',
    'banned',
    'banned',
  ])
})

test('a moderator who is banned a moment ago bans nobody, whatever the cache says', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['member.ban'])
  const { user } = await auth.member('ann')
  expect(await auth.service.guard.allows({ userId: mod.id }, 'member.ban')).toBe(true)
  // Behind the guard's back, as by another instance.
  await auth.database.auth.update(users).set({ standing: 'banned' }).where(eq(users.id, mod.id))
  expect(await as(auth, mod.accessToken).ban(user.id)).toMatchObject(refusal(403, 'access.notAMember'))
  expect(await standing(auth, user.id)).toBe('active')
})

test('a ban ends by itself: by a sweep of whichever instance, once', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  const moderator = as(auth, owner.accessToken)
  const { body } = await moderator.ban(ann.user.id, { expiresInSeconds: 60 })
  expect(body.expiresAt).toBe(new Date(clock.now().getTime() + MINUTE).toISOString())
  await moderator.ban(bob.user.id)
  const others = [createAuthService(auth.options), createAuthService(auth.options)]
  // A service that starts sweeps.
  await Promise.all(others.map((one) => one.start()))
  expect(await standing(auth, ann.user.id)).toBe('banned')
  await Promise.all(others.map((one) => one.stop()))

  clock.advance(MINUTE)
  auth.published.length = 0
  const more = [createAuthService(auth.options), createAuthService(auth.options)]
  await Promise.all(more.map((one) => one.start()))
  await eventually(async () => (await standing(auth, ann.user.id)) === 'active')
  await Promise.all(more.map((one) => one.stop()))
  expect(await auth.actions('member.unbanned')).toMatchObject([
    { actor: { kind: 'system', id: null }, target: { id: ann.user.id }, data: { by: 'expiry' } },
  ])
  expect(await auth.events('member.joined')).toHaveLength(4)
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: { userId: ann.user.id } })
  expect(await standing(auth, bob.user.id)).toBe('banned')
  expect(await auth.database.auth.select().from(bans)).toMatchObject([{ userId: bob.user.id }])
})

test('whoever logs in the moment their ban is over is let in as a member', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  await as(auth, owner.accessToken).ban(user.id, { expiresInSeconds: 60 })
  clock.advance(MINUTE - 1)
  expect((await auth.login('ann')).status).toBe(403)
  clock.advance(1)
  const { status, body } = await auth.login('ann')
  expect({ status, isMember: body.user.isMember }).toEqual({ status: 200, isMember: true })
  expect((await auth.request<Member>('GET', `/v1/members/${user.id}`, { token: body.accessToken })).status).toBe(200)
  expect(await auth.actions('member.unbanned')).toMatchObject([{ data: { by: 'expiry' } }])
})

test('a ban is not over by a clock that is not to be believed: it keeps them out, and a moderator can lift it', async () => {
  const clock = testClock()
  let aheadMs = 0
  await using auth = await startAuth({ clock, machineNow: () => new Date(Date.now() + aheadMs) })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken)
  const { body: ban } = await moderator.ban(user.id, { expiresInSeconds: 60 })
  clock.advance(MINUTE)
  aheadMs = 60 * MINUTE
  expect(await auth.login('ann')).toMatchObject(refusal(403, 'login.banned'))
  const actor = { ...systemActor, requestId: 'r-1' }
  expect(await auth.port.join({ userId: user.id, actor }).catch(({ code }) => code)).toBe('member.banned')
  expect(await moderator.get(user.id)).toMatchObject({ status: 200, body: ban })
  expect((await moderator.list()).body.items).toMatchObject([{ user: { id: user.id } }])
  expect(await standing(auth, user.id)).toBe('banned')
  expect(await moderator.lift(user.id)).toMatchObject({ status: 204 })
  expect((await auth.login('ann')).status).toBe(200)
})

test('a ban that is over ends once, however many notice at once', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  await as(auth, owner.accessToken).ban(user.id, { expiresInSeconds: 60 })
  clock.advance(MINUTE)
  const actor = { ...systemActor, requestId: 'r-1' }
  const tries = Array.from({ length: 8 }, () => auth.port.join({ userId: user.id, actor }).catch(({ code }) => code))
  expect(new Set(await Promise.all(tries))).toEqual(new Set(['member.alreadyMember']))
  expect(await auth.actions('member.unbanned')).toHaveLength(1)
})

test('who is banned again after their ban is over has two bans on record', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken)
  await moderator.ban(user.id, { expiresInSeconds: 60 })
  clock.advance(MINUTE)
  expect(await moderator.ban(user.id)).toMatchObject({ status: 201, body: { expiresAt: null } })
  expect(await auth.actions('member.banned')).toHaveLength(2)
  expect(await auth.actions('member.unbanned')).toHaveLength(1)
  expect(await standing(auth, user.id)).toBe('banned')
})

test('a repeat with the same Idempotency-Key answers what the first did', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const moderator = as(auth, owner.accessToken, { 'idempotency-key': 'one' })
  const first = await moderator.ban(user.id)
  expect(await moderator.ban(user.id)).toMatchObject({ status: 201, body: first.body })
})

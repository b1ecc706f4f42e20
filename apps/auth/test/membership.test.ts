import { expect, test } from 'bun:test'
import {
  type AuditActor,
  type Bot,
  type CreatedApiToken,
  type Member,
  type Problem,
  systemActor,
} from '@conntext/contracts'
import { AppError, newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { PASSWORD, startAuth, testClock } from './stack.ts'
import { apiToken, ranked, refusal, type Stack } from './support/authority.ts'

const leave = (auth: Stack, token: string | undefined) => auth.request<Problem>('DELETE', '/v1/members/@me', { token })
const join = (auth: Stack, token: string | undefined, body: object = {}) =>
  auth.request<Member & Problem>('PUT', '/v1/members/@me', { token, body })

test('who leaves loses place and roles at once, and keeps account and session', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  const token = ann.accessToken
  const scoped = await apiToken(auth, ann, ['invite.create'])
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(true)
  expect(await leave(auth, token)).toMatchObject({ status: 204, text: '' })
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(false)
  expect(await auth.service.guard.identify(token)).toBeDefined()
  const members = (bearer: string) => auth.request('GET', '/v1/members', { token: bearer })
  expect(await members(token)).toMatchObject(refusal(403, 'access.notAMember'))
  expect(await members(scoped)).toMatchObject(refusal(403, 'access.notAMember'))
  for (const bearer of [token, scoped]) {
    const own = await auth.request('GET', '/v1/users/@me', { token: bearer })
    expect(own).toMatchObject({ status: 200, body: { id: ann.id, isMember: false } })
  }
  expect(await leave(auth, token)).toMatchObject(refusal(403, 'access.notAMember'))
  expect(await auth.actions('member.left')).toMatchObject([{ actor: { id: ann.id }, target: { id: ann.id } }])
  expect((await auth.actions('member.rolesChanged')).at(-1)).toMatchObject({ data: { removed: [ann.role.id] } })
  expect(await auth.events('member.left')).toMatchObject([{ stream: 'server', data: { userId: ann.id } }])
})

test('the owner does not leave, and an API token leaves for nobody', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await ranked(auth, owner, 'ann', ['administrator'])
  expect(await leave(auth, owner.accessToken)).toMatchObject(refusal(409, 'member.ownerStays'))
  const scoped = await apiToken(auth, ann, ['administrator'])
  expect(await leave(auth, scoped)).toMatchObject(refusal(403, 'access.notForTokens'))
  expect(await join(auth, scoped)).toMatchObject(refusal(403, 'access.notForTokens'))
  expect((await leave(auth, undefined)).status).toBe(401)
  expect((await join(auth, undefined)).status).toBe(401)
})

test('where the server is open, who has left joins again, told and audited, without their roles', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const ann = await ranked(auth, owner, 'ann', ['invite.create'])
  const token = ann.accessToken
  expect(await join(auth, token)).toMatchObject(refusal(409, 'member.alreadyMember'))
  await leave(auth, token)
  clock.advance(60_000)
  const joinedAt = clock.now().toISOString()
  expect(await join(auth, token)).toMatchObject({ status: 200, body: { user: { id: ann.id }, roleIds: [], joinedAt } })
  expect(await auth.service.guard.allows({ userId: ann.id }, 'message.send')).toBe(true)
  expect(await auth.service.guard.allows({ userId: ann.id }, 'invite.create')).toBe(false)
  expect((await auth.events('member.joined')).at(-1)).toMatchObject({ data: { user: { id: ann.id }, joinedAt } })
  expect(await auth.actions('member.rejoined')).toMatchObject([{ target: { id: ann.id }, data: { via: 'open' } }])
  expect((await join(auth, token, { userId: owner.user.id })).status).toBe(422)
})

test('an invite lets who has left in again, with its role; a bad one uses nothing up', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const guests = await auth.role(owner, 'guests', ['invite.create'])
  const ann = await auth.member('ann')
  const token = ann.accessToken
  await leave(auth, token)
  auth.system.mode = 'invite'
  auth.system.invites.set('good', { roleId: guests.id, usesLeft: 1 })
  auth.system.invites.set('used', { roleId: null, usesLeft: 0 })
  expect(await join(auth, token)).toMatchObject(refusal(403, 'registration.inviteRequired'))
  expect(await join(auth, token, { inviteCode: 'bad' })).toMatchObject(refusal(404, 'invite.notFound'))
  expect(await join(auth, token, { inviteCode: 'used' })).toMatchObject(refusal(410, 'invite.usedUp'))
  auth.system.mode = 'closed'
  expect(await join(auth, token, { inviteCode: 'good' })).toMatchObject(refusal(403, 'registration.closed'))
  auth.system.mode = 'invite'
  const answer = await join(auth, token, { inviteCode: 'good' })
  expect(answer).toMatchObject({ status: 200, body: { roleIds: [guests.id] } })
  expect(await auth.service.guard.allows({ userId: ann.user.id }, 'invite.create')).toBe(true)
  expect(auth.system.invites.get('good')!.usesLeft).toBe(0)
  expect(await auth.actions('member.rejoined')).toMatchObject([{ data: { via: 'invite' } }])
  expect((await auth.actions('member.rolesChanged')).at(-1)).toMatchObject({ data: { added: [guests.id] } })
  // A member uses none up.
  expect(await join(auth, token, { inviteCode: 'good' })).toMatchObject(refusal(409, 'member.alreadyMember'))
  expect(auth.system.releases).toEqual([])
})

test('the role of an invite that has been deleted meanwhile is not given', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const gone = await auth.role(owner, 'gone')
  const ann = await auth.member('ann')
  await leave(auth, ann.accessToken)
  auth.system.invites.set('good', { roleId: gone.id, usesLeft: 1 })
  await auth.request('DELETE', `/v1/roles/${gone.id}`, { token: owner.accessToken })
  expect(await join(auth, ann.accessToken, { inviteCode: 'good' })).toMatchObject({
    status: 200,
    body: { roleIds: [] },
  })
})

test('who joins many times at once joins once', async () => {
  await using auth = await startAuth()
  await auth.owner()
  const ann = await auth.member('ann')
  await leave(auth, ann.accessToken)
  auth.system.invites.set('good', { roleId: null, usesLeft: 10 })
  const tries = Array.from({ length: 5 }, (_, i) => join(auth, ann.accessToken, i % 2 ? { inviteCode: 'good' } : {}))
  const statuses = (await Promise.all(tries)).map(({ status }) => status)
  expect(statuses.sort()).toEqual([200, 409, 409, 409, 409])
  expect(await auth.actions('member.rejoined')).toHaveLength(1)
})

test('when joining fails the use is given back', async () => {
  await using auth = await startAuth()
  await auth.owner()
  const ann = await auth.member('ann')
  await leave(auth, ann.accessToken)
  auth.system.invites.set('good', { roleId: null, usesLeft: 1 })
  const { db } = auth.options
  const { transaction } = db
  let broken = 0
  db.transaction = ((...given: Parameters<typeof transaction>) =>
    transaction.call(db, async (tx) => {
      const insert = tx.insert.bind(tx)
      tx.insert = ((table: never) => {
        broken += 1
        if (auth.system.reserved.size > 0) throw new AppError('dependency.away', 503, 'away')
        return insert(table)
      }) as never
      return given[0](tx)
    })) as never
  expect((await join(auth, ann.accessToken, { inviteCode: 'good' })).status).toBe(503)
  db.transaction = transaction
  expect(broken).toBeGreaterThan(0)
  expect(auth.system.invites.get('good')!.usesLeft).toBe(1)
  expect(await join(auth, ann.accessToken, { inviteCode: 'good' })).toMatchObject({ status: 200 })
})

test('invite codes cannot be tried without end', async () => {
  await using auth = await startAuth({ clock: testClock() })
  await auth.owner()
  const ann = await auth.member('ann')
  await leave(auth, ann.accessToken)
  const guess = () =>
    auth.request<Problem>('PUT', '/v1/members/@me', {
      token: ann.accessToken,
      body: { inviteCode: 'guess' },
      address: '192.0.2.9',
    })
  const codes = []
  for (let i = 0; i < 12; i += 1) codes.push((await guess()).body.code)
  expect(codes.at(0)).toBe('invite.notFound')
  expect(codes.at(-1)).toBe('registration.throttled')
})

test('the port lets system join somebody, by the same rules', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  const actor: AuditActor = { ...systemActor, kind: 'user', id: ann.user.id, requestId: 'r-1' }
  auth.system.invites.set('good', { roleId: null, usesLeft: 5 })
  const joining = { userId: ann.user.id, inviteCode: 'good', actor }
  await expect(auth.port.join(joining)).rejects.toMatchObject({ code: 'member.alreadyMember', status: 409 })
  await leave(auth, ann.accessToken)
  expect(await auth.port.join(joining)).toMatchObject({ user: { id: ann.user.id } })
  expect(await auth.actions('member.rejoined')).toMatchObject([
    { actor: { id: ann.user.id }, requestId: 'r-1', data: { via: 'invite' } },
  ])
  const ban = { token: owner.accessToken, body: { userId: bob.user.id } }
  await auth.request('POST', '/v1/bans', ban)
  await expect(auth.port.join({ ...joining, userId: bob.user.id })).rejects.toMatchObject({ code: 'member.banned' })
  await expect(auth.port.join({ ...joining, userId: newId() })).rejects.toMatchObject({ code: 'user.notFound' })
  expect(auth.system.invites.get('good')!.usesLeft).toBe(4)
})

test('who joins again stands nowhere, whatever they were', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const mod = await ranked(auth, owner, 'mod', ['administrator'])
  const { user } = await auth.member('ann')
  await leave(auth, mod.accessToken)
  await join(auth, mod.accessToken)
  const kick = await auth.request('POST', `/v1/members/${user.id}/kick`, { token: mod.accessToken })
  expect(kick.status).toBe(403)
  expect(await auth.request('POST', `/v1/members/${mod.id}/kick`, { token: owner.accessToken })).toMatchObject({
    status: 204,
  })
})

test('who leaves takes no API token of a bot along', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await ranked(auth, owner, 'ann', ['bot.manage'])
  const own = await apiToken(auth, ann, ['bot.manage'])
  const bot = (await auth.request<Bot>('POST', '/v1/bots', { token: ann.accessToken, body: { username: 'robot' } }))
    .body
  const tokenOf = async (maker: { accessToken: string }) => {
    const body = { name: 'bot', scopes: ['message.send'], botId: bot.id, password: PASSWORD }
    return (await auth.request<CreatedApiToken>('POST', '/v1/auth/tokens', { token: maker.accessToken, body })).body
  }
  const [hers, owners] = [await tokenOf(ann), await tokenOf(owner)]
  expect(await auth.service.guard.identify(hers.token)).toMatchObject({ userId: bot.id })
  expect((await leave(auth, ann.accessToken)).status).toBe(204)
  expect(await auth.service.guard.identify(hers.token)).toBeUndefined()
  expect(await auth.service.guard.identify(owners.token)).toMatchObject({ userId: bot.id })
  expect(await auth.service.guard.identify(own)).toMatchObject({ userId: ann.id })
  const ended = await auth.actions('token.revoked')
  expect(ended).toMatchObject([{ target: { id: hers.id }, data: { userId: bot.id, by: 'leaving' } }])
})

test('messaging is told once of each time that somebody joins, and not of the end of a ban', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await ranked(auth, owner, 'ann', [])
  const joins = (userId: string) => [...auth.joined.values()].filter((one) => one === userId).length
  await eventually(() => joins(owner.user.id) === 1 && joins(ann.id) === 1)
  await leave(auth, ann.accessToken)
  await join(auth, ann.accessToken)
  await eventually(() => joins(ann.id) === 2)
  await auth.request('POST', `/v1/members/${ann.id}/kick`, { token: owner.accessToken })
  const again = await auth.login('ann')
  await join(auth, again.body.accessToken)
  await eventually(() => joins(ann.id) === 3)
  await auth.request('POST', '/v1/bans', { token: owner.accessToken, body: { userId: ann.id } })
  await auth.request('DELETE', `/v1/bans/${ann.id}`, { token: owner.accessToken })
  await auth.member('bob')
  await eventually(() => auth.joined.size === 5)
  expect(joins(ann.id)).toBe(3)
})

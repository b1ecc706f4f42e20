import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Invite, Member, Page, Permission } from '@conntext/contracts'
import { invites, users } from '@conntext/db-server-details'
import { AppError, newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq } from 'drizzle-orm'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let inviter: Caller
let member: Caller

beforeAll(async () => {
  system = await startSystem()
  inviter = await system.member('invite.create')
  member = await system.member()
})
afterAll(() => system[Symbol.asyncDispose]())

const invite = async (body: object = {}, caller = inviter, from = system): Promise<Invite> => {
  const made = await from.call('POST', '/v1/invites', caller, body)
  expect(made.status).toBe(201)
  return made.body as Invite
}
const usesOf = async (id: string, from = system) => {
  const rows = await from.databases.system.select().from(invites)
  return rows.find((row) => row.id === id)?.uses
}
const reserve = ({ code }: { code: string }, userId = newId(), from = system) =>
  from.port.reserveInvite({ code, userId })
const trailOf = ({ id }: Invite, action: string) =>
  eventually(async () => {
    const events = (await system.trail(action)).filter((event) => event.target.id === id)
    return events.length > 0 ? events : undefined
  })

describe('POST /v1/invites', () => {
  test('makes an invite whose code is in the answer and nowhere readable', async () => {
    const made = await invite({ maxUses: 3, expiresInSeconds: 60 })
    expect(made).toMatchObject({ creatorId: inviter!.userId, maxUses: 3, uses: 0, roleId: null })
    expect(Date.parse(made.expiresAt!) - Date.parse(made.createdAt)).toBe(60_000)
    expect(Buffer.from(made.code, 'base64url').length * 8).toBeGreaterThanOrEqual(80)
    const row = (await system.databases.system.select().from(invites)).find((one) => one.id === made.id)!
    expect(JSON.stringify(row) + Buffer.from(row.codeSealed).toString('latin1')).not.toContain(made.code)
    const [event] = await system.trail('invite.created')
    expect(event).toMatchObject({
      target: { kind: 'invite', id: made.id },
      data: { maxUses: 3, expiresAt: made.expiresAt, roleId: null },
    })
    expect(JSON.stringify(event)).not.toContain(made.code)
  })

  test('with a role it takes the right to give that role', async () => {
    const { roles } = system.authority.snapshot
    await system.member('message.pin')
    const low = roles.at(-1)!
    await system.member('administrator')
    const mighty = roles.at(-1)!
    const keeper = await system.member('invite.create', 'role.manage', 'message.pin')
    const own = roles.at(-1)!
    const owner = await system.authority.member({ owner: true })
    const post = (roleId: string, caller: Caller) => system.call('POST', '/v1/invites', caller, { roleId })
    expect(await post(low.id, inviter)).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
    expect(await post(low.id, keeper)).toMatchObject({ status: 201, body: { roleId: low.id } })
    // Below their own, but with more than they have.
    expect(await post(mighty.id, keeper)).toMatchObject({ status: 403, body: { code: 'invite.roleNotYours' } })
    expect(await post(own.id, keeper)).toMatchObject({ status: 403, body: { code: 'invite.roleNotYours' } })
    expect(await post(own.id, owner)).toMatchObject({ status: 201 })
    const everyone = roles.find((role) => role.isEveryone)!
    expect(await post(everyone.id, owner)).toMatchObject({ status: 422, body: { code: 'invite.noSuchRole' } })
    expect(await post(newId(), keeper)).toMatchObject({ status: 422, body: { code: 'invite.noSuchRole' } })
    system.authority.snapshot.ownerId = null
    await system.authority.changed()
  })

  test.each([{ maxUses: 0 }, { maxUses: 1.5 }, { expiresInSeconds: 1 }, { roleId: 'x' }, { code: 'mine' }])(
    '%j is refused',
    async (body) => {
      expect(await system.call('POST', '/v1/invites', inviter, body)).toMatchObject({ status: 422 })
    },
  )

  test('is for those alone who may', async () => {
    expect(await system.call('POST', '/v1/invites', undefined, {})).toMatchObject({ status: 401 })
    expect(await system.call('POST', '/v1/invites', member, {})).toMatchObject({ status: 403 })
  })
})

describe('GET and DELETE /v1/invites', () => {
  test("show and revoke one's own, or everybody's to who manages them", async () => {
    await using fresh = await startSystem()
    const one = await fresh.member('invite.create')
    const other = await fresh.member('invite.create')
    const manager = await fresh.member('invite.manage')
    const mine: Invite[] = []
    for (let i = 0; i < 5; i += 1) mine.push(await invite({}, one, fresh))
    const theirs = await invite({}, other, fresh)
    const list = async (caller: Caller) => {
      const found: Invite[] = []
      let cursor = ''
      do {
        const answer = await fresh.call('GET', `/v1/invites?limit=2${cursor}`, caller)
        const page = answer.body as Page<Invite>
        found.push(...page.items)
        cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`
      } while (cursor !== '')
      return found
    }
    expect(await list(one)).toEqual([...mine].reverse())
    expect(await list(manager)).toEqual([theirs, ...[...mine].reverse()])
    const remove = (id: string, caller: Caller) => fresh.call('DELETE', `/v1/invites/${id}`, caller)
    expect(await remove(theirs.id, one)).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
    expect(await remove(newId(), one)).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
    expect(await remove(mine[0]!.id, undefined)).toMatchObject({ status: 401 })
    expect(await remove(mine[0]!.id, one)).toMatchObject({ status: 204 })
    expect(await remove(mine[0]!.id, one)).toMatchObject({ status: 404 })
    expect(await remove(theirs.id, manager)).toMatchObject({ status: 204 })
    expect(await list(manager)).toEqual(mine.slice(1).reverse())
    expect(await fresh.trail('invite.revoked', 2)).toHaveLength(2)
    await expect(reserve(theirs, newId(), fresh)).rejects.toMatchObject({ code: 'invite.notFound', status: 404 })
  })

  test('are for those alone who may', async () => {
    expect(await system.call('GET', '/v1/invites')).toMatchObject({ status: 401 })
    expect(await system.call('GET', '/v1/invites', member)).toMatchObject({ status: 200, body: { items: [] } })
    expect(await system.call('GET', '/v1/invites?cursor=x', inviter)).toMatchObject({ status: 422 })
    expect(await system.call('DELETE', '/v1/invites/x', inviter)).toMatchObject({ status: 422 })
  })
})

describe('reserving a use', () => {
  test('of fifty at once, as many get one as there are, and no other', async () => {
    const made = await invite({ maxUses: 7 })
    const answers = await Promise.allSettled(Array.from({ length: 50 }, () => reserve(made)))
    expect(answers.filter((answer) => answer.status === 'fulfilled')).toHaveLength(7)
    const refusals = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason.code as string] : []))
    expect(refusals).toEqual(Array(43).fill('invite.usedUp'))
    expect(await usesOf(made.id)).toBe(7)
  })

  test('a repeat for the same user, fifty times at once, takes one', async () => {
    const made = await invite({ maxUses: 1 })
    const userId = newId()
    const answers = await Promise.all(Array.from({ length: 50 }, () => reserve(made, userId)))
    expect(answers).toEqual(Array(50).fill({ inviteId: made.id, roleId: null }))
    expect(await usesOf(made.id)).toBe(1)
    expect(await trailOf(made, 'invite.redeemed')).toMatchObject([{ actor: { id: userId }, data: { userId } }])
  })

  test('the role is given for as long as who made the invite could give it', async () => {
    const { roles } = system.authority.snapshot
    await system.member('message.pin')
    const low = roles.at(-1)!
    const keeper = await system.member('invite.create', 'role.manage', 'message.pin')
    const made = await invite({ roleId: low.id }, keeper)
    const given = async () => (await reserve(made)).roleId
    expect(await given()).toBe(low.id)

    low.permissions = ['administrator']
    await system.authority.changed()
    expect(await given()).toBeNull()
    low.permissions = ['message.pin']
    await system.authority.changed()
    const again = newId()
    expect((await reserve(made, again)).roleId).toBe(low.id)

    roles.at(-1)!.permissions = ['message.pin']
    await system.authority.changed()
    expect(await given()).toBeNull()
    expect((await reserve(made, again)).roleId).toBeNull()
  })

  test('what is given back can be taken again, once', async () => {
    const made = await invite({ maxUses: 1 })
    const userId = newId()
    await reserve(made, userId)
    await expect(reserve(made)).rejects.toMatchObject({ code: 'invite.usedUp', status: 410 })
    await Promise.all(Array.from({ length: 20 }, () => system.port.releaseInvite({ userId })))
    expect(await usesOf(made.id)).toBe(0)
    await reserve(made)
    expect(await usesOf(made.id)).toBe(1)
    expect(await trailOf(made, 'invite.released')).toMatchObject([{ actor: { kind: 'system' }, data: { userId } }])
    await system.port.releaseInvite({ userId: newId() })
  })

  test('somebody who comes back takes a use anew, and no code that is no good', async () => {
    const [first, second] = [await invite({ maxUses: 1 }), await invite({ maxUses: 1 })]
    const userId = newId()
    await reserve(first, userId)
    const comeBack = ({ code }: { code: string }) => system.port.reserveInvite({ code, userId, again: true })
    await expect(comeBack({ code: 'nonsense' })).rejects.toMatchObject({ code: 'invite.notFound' })
    await expect(comeBack(first)).rejects.toMatchObject({ code: 'invite.usedUp' })
    expect(await comeBack(second)).toMatchObject({ inviteId: second.id })
    expect(await usesOf(second.id)).toBe(1)
    expect(await usesOf(first.id)).toBe(1)
    await system.port.releaseInvite({ userId })
    expect(await usesOf(second.id)).toBe(0)
    expect(await usesOf(first.id)).toBe(1)
  })

  test('an expired, an unknown and a nonsensical code are refused', async () => {
    await using fresh = await startSystem()
    const caller = await fresh.member('invite.create')
    const made = await invite({ expiresInSeconds: 60 }, caller, fresh)
    fresh.clock.advance(59_000)
    await reserve(made, newId(), fresh)
    fresh.clock.advance(2_000)
    await expect(reserve(made, newId(), fresh)).rejects.toMatchObject({ code: 'invite.expired', status: 410 })
    for (const code of ['', "' OR 1=1 --", 'x'.repeat(512)]) {
      await expect(reserve({ code }, newId(), fresh)).rejects.toMatchObject({ code: 'invite.notFound', status: 404 })
    }
  })

  test('a use whose account was never made is given back after ten minutes, that of an account is kept', async () => {
    await using fresh = await startSystem()
    const caller = await fresh.member('invite.create')
    const made = await invite({}, caller, fresh)
    const [account, broken] = [newId(), newId()]
    await reserve(made, account, fresh)
    await reserve(made, broken, fresh)
    await fresh.databases.auth
      .insert(users)
      .values({ id: account, username: 'a', usernameKey: 'a', usernameSkeleton: 'a' })
    fresh.clock.advance(599_000)
    const early = await fresh.another()
    await early.service.stop()
    expect(await usesOf(made.id, fresh)).toBe(2)
    fresh.clock.advance(2_000)
    const late = await fresh.another()
    await eventually(async () => (await usesOf(made.id, fresh)) === 1)
    await late.service.stop()
    expect(await fresh.trail('invite.released')).toMatchObject([{ data: { userId: broken } }])
  })
})

describe('coming back', () => {
  const DAY = 86_400_000
  const account = async (from: System, standing: 'left' | 'active' = 'left') => {
    const id = newId()
    const joinedAt = new Date(Date.now() - DAY)
    const names = { username: id, usernameKey: id, usernameSkeleton: id }
    await from.databases.auth.insert(users).values({ id, ...names, standing, joinedAt })
    return id
  }
  const comeBack = (code: string, userId: string, from = system) =>
    from.port.reserveInvite({ code, userId, again: true })

  test('twenty times at once with one code takes one use; with another code, that is given back', async () => {
    const [one, other] = [await invite({ maxUses: 1 }), await invite()]
    const userId = await account(system)
    await Promise.all(Array.from({ length: 20 }, () => comeBack(one.code, userId)))
    expect(await usesOf(one.id)).toBe(1)
    expect(await comeBack(other.code, userId)).toMatchObject({ inviteId: other.id })
    expect([await usesOf(one.id), await usesOf(other.id)]).toEqual([0, 1])
    await expect(comeBack('nonsense', userId)).rejects.toMatchObject({ code: 'invite.notFound' })
  })

  test('with a use that nobody came in with is given back after ten minutes, that of who came in is kept', async () => {
    await using fresh = await startSystem()
    const maker = await fresh.member('invite.create')
    const made = await invite({}, maker, fresh)
    const [broken, back] = [await account(fresh), await account(fresh)]
    await comeBack(made.code, broken, fresh)
    await comeBack(made.code, back, fresh)
    await fresh.databases.auth.update(users).set({ standing: 'active', joinedAt: new Date() }).where(eq(users.id, back))
    fresh.clock.advance(601_000)
    const late = await fresh.another()
    await eventually(async () => (await usesOf(made.id, fresh)) === 1)
    await late.service.stop()
    expect(await fresh.trail('invite.released')).toMatchObject([{ data: { userId: broken } }])
    // And once they have left again, what they came in with is spent.
    await fresh.databases.auth.update(users).set({ standing: 'left' }).where(eq(users.id, back))
    const later = await fresh.another()
    await later.service.stop()
    expect(await usesOf(made.id, fresh)).toBe(1)
  })

  test('is asked of auth, in the name of who asks', async () => {
    const asked: unknown[] = []
    await using fresh = await startSystem({
      auth: {
        ...system.deps.auth,
        async join(request) {
          asked.push(request)
          throw new AppError('invite.notFound', 404, 'No such invite')
        },
      },
    })
    const left = await fresh.authority.member()
    await fresh.authority.setGrant(left.userId, { standing: 'left' })
    const redeem = (caller: Caller, code = 'some-code') => fresh.call('POST', `/v1/invites/${code}/redeem`, caller)
    expect(await redeem(left)).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
    expect(asked).toMatchObject([
      { userId: left.userId, inviteCode: 'some-code', actor: { kind: 'user', id: left.userId } },
    ])
    expect(await redeem(undefined)).toMatchObject({ status: 401 })
    const token = fresh.authority.apiToken(left.userId, ['administrator'])
    expect(await redeem({ userId: left.userId, token: token.token })).toMatchObject({
      status: 403,
      body: { code: 'access.notForTokens' },
    })
    expect(await redeem(left, 'x'.repeat(513))).toMatchObject({ status: 422 })
    expect(asked).toHaveLength(1)
  })

  test('answers who one is here now', async () => {
    const left = await system.authority.member()
    const member: Member = {
      user: {
        id: left.userId,
        kind: 'user',
        username: 'back',
        displayName: null,
        avatarId: null,
        status: null,
        isDeleted: false,
        createdAt: new Date(0).toISOString(),
      },
      nickname: null,
      roleIds: [],
      timedOutUntil: null,
      joinedAt: new Date(0).toISOString(),
    }
    await using fresh = await startSystem({ auth: { ...system.deps.auth, join: async () => member } })
    const same = await fresh.authority.member()
    expect(await fresh.call('POST', '/v1/invites/code/redeem', same)).toMatchObject({ status: 200, body: member })
  })
})

describe('GET /v1/invites/:code/preview', () => {
  const preview = (code: string, from = system) => from.call('GET', `/v1/invites/${code}/preview`)

  test('tells anybody for which server an invite is and until when, and nothing else', async () => {
    const made = await invite({ expiresInSeconds: 3600, maxUses: 2 })
    expect(await preview(made.code)).toMatchObject({
      status: 200,
      body: { serverName: 'ConnText', expiresAt: made.expiresAt },
    })
    expect(Object.keys((await preview(made.code)).body as object).sort()).toEqual(['expiresAt', 'serverName'])
    expect(await usesOf(made.id)).toBe(0)
  })

  test('of one that is unknown, revoked, expired or used up is what using it would answer', async () => {
    const used = await invite({ maxUses: 1 })
    await reserve(used)
    expect(await preview(used.code)).toMatchObject({ status: 410, body: { code: 'invite.usedUp' } })
    const revoked = await invite()
    await system.call('DELETE', `/v1/invites/${revoked.id}`, inviter)
    for (const code of [revoked.code, revoked.id, 'nonsense']) {
      expect(await preview(code)).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
    }
    await using fresh = await startSystem()
    const maker = await fresh.member('invite.create')
    const made = await invite({ expiresInSeconds: 60 }, maker, fresh)
    fresh.clock.advance(61_000)
    expect(await preview(made.code, fresh)).toMatchObject({ status: 410, body: { code: 'invite.expired' } })
  })
})

describe('the invites of', () => {
  test.each(['banned', 'deleted'] as const)('who is %s are dead', async (standing) => {
    const maker = await system.member('invite.create')
    const made = await invite({}, maker)
    await system.authority.setGrant(maker.userId, { standing })
    await expect(reserve(made)).rejects.toMatchObject({ code: 'invite.notFound', status: 404 })
    expect(await system.call('GET', `/v1/invites/${made.code}/preview`)).toMatchObject({ status: 404 })
    await system.authority.setGrant(maker.userId, { standing: 'active' })
    await reserve(made)
    expect(await usesOf(made.id)).toBe(1)
  })

  test('who has left live on, without the role that they gave', async () => {
    await system.member('message.pin')
    const low = system.authority.snapshot.roles.at(-1)!
    const maker = await system.member('invite.create', 'role.manage', 'message.pin')
    const made = await invite({ roleId: low.id }, maker)
    expect((await reserve(made)).roleId).toBe(low.id)
    await system.authority.setGrant(maker.userId, { standing: 'left', roleIds: [] })
    expect(await reserve(made)).toEqual({ inviteId: made.id, roleId: null })
  })
})

describe('with an API token', () => {
  test('invites give no more than it is good for', async () => {
    await system.member('message.pin')
    const low = system.authority.snapshot.roles.at(-1)!
    const keeper = await system.member('invite.create', 'role.manage', 'message.pin')
    const post = (scopes: Permission[]) => {
      const { token } = system.authority.apiToken(keeper.userId, scopes)
      return system.call('POST', '/v1/invites', { userId: keeper.userId, token }, { roleId: low.id })
    }
    expect(await post(['invite.create'])).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
    expect(await post(['invite.create', 'role.manage'])).toMatchObject({ body: { code: 'invite.roleNotYours' } })
    expect(await post(['invite.create', 'role.manage', 'message.pin'])).toMatchObject({ status: 201 })
  })

  test("others' invites are shown where it manages them", async () => {
    const manager = await system.member('invite.create', 'invite.manage')
    const mine = await invite()
    const list = (scopes: Permission[]) => {
      const { token } = system.authority.apiToken(manager.userId, scopes)
      return system.call('GET', '/v1/invites', { userId: manager.userId, token })
    }
    expect(await list(['channel.view'])).toMatchObject({ status: 403 })
    expect(await list(['invite.create'])).toMatchObject({ status: 200, body: { items: [] } })
    const all = (await list(['invite.manage'])).body as Page<Invite>
    expect(all.items.map((one) => one.id)).toContain(mine.id)
  })
})

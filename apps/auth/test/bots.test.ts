import { describe, expect, test } from 'bun:test'
import type { Authenticated, Bot, Member, Page, Problem, Role } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { startAuth } from './stack.ts'
import { tokenCalls } from './support/tokens.ts'

async function start() {
  const auth = await startAuth()
  const calls = tokenCalls(auth)
  const owner = await auth.owner()
  const call = (method: string) => (by: Authenticated | undefined, path: string, body?: object) =>
    auth.request<Bot & Problem>(method, `/v1/bots${path}`, { token: by?.accessToken, body })
  return Object.assign(auth, calls, {
    ownerOf: owner,
    manager: (name = 'manager') => calls.memberWith(owner, name, ['bot.manage', 'channel.view']),
    make: (by: Authenticated | undefined, body: object) => call('POST')(by, '', body),
    change: (by: Authenticated | undefined, id: string, body: object) => call('PATCH')(by, `/${id}`, body),
    remove: (by: Authenticated | undefined, id: string) => call('DELETE')(by, `/${id}`),
    async bots(by: Authenticated, query = '') {
      return (await auth.request<Page<Bot>>('GET', `/v1/bots${query}`, { token: by.accessToken })).body
    },
    async assign(id: string, roleIds: string[]) {
      await auth.request('PATCH', `/v1/members/${id}`, { token: owner.accessToken, body: { roleIds } })
    },
  })
}

describe('a bot', () => {
  test('is a member at once, without a way to log in', async () => {
    await using it = await start()
    const manager = await it.manager()
    const { status, body } = await it.make(manager, { username: 'Robot', displayName: '  The   robot ' })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      kind: 'bot',
      username: 'Robot',
      displayName: 'The robot',
      createdBy: manager.user.id,
      isMember: true,
    })
    const { body: member } = await it.request<Member>('GET', `/v1/members/${body.id}`, { token: manager.accessToken })
    expect(member).toMatchObject({ user: { id: body.id, kind: 'bot' }, roleIds: [] })
    expect((await it.events('member.joined')).at(-1)).toMatchObject({
      stream: 'server',
      data: { user: { id: body.id, kind: 'bot', username: 'Robot' }, roleIds: [] },
    })
    expect(await it.actions('bot.created')).toMatchObject([
      { actor: { id: manager.user.id }, target: { kind: 'user', id: body.id }, data: { username: 'Robot' } },
    ])
    for (const password of ['', ' ', 'null']) expect((await it.login('Robot', password)).status).not.toBe(200)
  })

  test('is made, seen, changed and deleted by those alone who manage bots', async () => {
    await using it = await start()
    const bot = await it.bot(it.ownerOf, 'robot')
    const ann = await it.memberWith(it.ownerOf, 'ann', ['role.manage', 'member.ban'])
    for (const [by, status] of [
      [undefined, 401],
      [ann, 403],
    ] as const) {
      expect((await it.make(by, { username: 'other' })).status).toBe(status)
      expect((await it.request('GET', '/v1/bots', { token: by?.accessToken })).status).toBe(status)
      expect((await it.change(by, bot.id, { displayName: 'x' })).status).toBe(status)
      expect((await it.remove(by, bot.id)).status).toBe(status)
    }
    expect((await it.bots(it.ownerOf)).items).toEqual([bot])
  })

  test.each([
    ['no name', {}],
    ['a name with spaces', { username: 'a b' }],
    ['a kind', { username: 'robot', kind: 'user' }],
    ['a password', { username: 'robot', password: 'correct horse' }],
    ['a maker', { username: 'robot', createdBy: newId() }],
    ['a name that cannot be seen', { username: 'robot', displayName: '\u202e' }],
  ])('is not made with %s', async (_, body) => {
    await using it = await start()
    expect((await it.make(it.ownerOf, body)).status).toBe(422)
    expect((await it.bots(it.ownerOf)).items).toEqual([])
  })

  test.each(['ROBOT', 'r0bot', 'everyone'])(
    "has a name that isn't another's, nor looks like it: not %s",
    async (username) => {
      await using it = await start()
      await it.bot(it.ownerOf, 'robot')
      const taken = { status: 409, body: { code: 'bot.usernameTaken' } }
      expect(await it.make(it.ownerOf, { username })).toMatchObject(taken)
      const other = await it.bot(it.ownerOf, 'other')
      expect(await it.change(it.ownerOf, other.id, { username })).toMatchObject(taken)
    },
  )

  test('is one of two that ask for a name at once', async () => {
    await using it = await start()
    const answers = await Promise.all([1, 2, 3].map(() => it.make(it.ownerOf, { username: 'robot' })))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  })

  test('is changed, and everybody hears of it', async () => {
    await using it = await start()
    const bot = await it.bot(it.ownerOf, 'robot')
    const { status, body } = await it.change(it.ownerOf, bot.id, { username: 'Robot2', displayName: 'Two' })
    expect(status).toBe(200)
    expect(body).toEqual({ ...bot, username: 'Robot2', displayName: 'Two' } as never)
    expect((await it.events('user.updated')).at(-1)!.data).toMatchObject({ id: bot.id, username: 'Robot2' })
    expect((await it.actions('bot.updated'))[0]!.data).toEqual({
      fields: ['username', 'displayName'],
      changes: { username: { from: 'robot', to: 'Robot2' }, displayName: { from: null, to: 'Two' } },
    })
    await it.change(it.ownerOf, bot.id, { displayName: 'Two' })
    expect(await it.actions('bot.updated')).toHaveLength(1)
    expect((await it.make(it.ownerOf, { username: 'robot' })).status).toBe(201)
  })

  test('is listed in pages; people are not among them, and are none to be changed', async () => {
    await using it = await start()
    const ann = await it.member('ann')
    const made = [await it.bot(it.ownerOf, 'one'), await it.bot(it.ownerOf, 'two'), await it.bot(it.ownerOf, 'three')]
    const first = await it.bots(it.ownerOf, '?limit=2')
    const second = await it.bots(it.ownerOf, `?limit=2&cursor=${first.nextCursor}`)
    expect([...first.items, ...second.items]).toEqual(made)
    for (const id of [ann.user.id, newId()]) {
      const missing = { status: 404, body: { code: 'bot.notFound' } }
      expect(await it.change(it.ownerOf, id, { displayName: 'x' })).toMatchObject(missing)
      expect(await it.remove(it.ownerOf, id)).toMatchObject(missing)
      expect(await it.create(it.ownerOf, { botId: id })).toMatchObject(missing)
    }
    expect((await it.login('ann')).status).toBe(200)
  })

  test('is gone when it is deleted: its tokens end, its name is free, its messages stay', async () => {
    await using it = await start()
    const manager = await it.manager()
    const bot = await it.bot(manager, 'robot')
    const { id, token } = await it.token(manager, ['channel.view'], { botId: bot.id })
    expect((await it.request('GET', '/v1/members', { token })).status).toBe(200)
    expect((await it.remove(manager, bot.id)).status).toBe(204)
    expect((await it.request('GET', '/v1/members', { token })).status).toBe(401)
    expect(it.published).toContainEqual({ subject: 'session.revoked', payload: { sessionId: id, userId: bot.id } })
    expect((await it.request('GET', `/v1/members/${bot.id}`, { token: manager.accessToken })).status).toBe(404)
    const [row] = await it.database.auth.select().from(users).where(eq(users.id, bot.id))
    expect(row).toMatchObject({ kind: 'bot', standing: 'deleted', displayName: null })
    expect(await it.actions('bot.deleted')).toMatchObject([{ actor: { id: manager.user.id }, target: { id: bot.id } }])
    expect((await it.events('member.left')).at(-1)!.data).toEqual({ userId: bot.id })
    expect(it.deletions.map(({ request }) => request)).toContainEqual({ userId: bot.id, messages: 'keep' })
    expect((await it.remove(manager, bot.id)).status).toBe(404)
    expect((await it.make(manager, { username: 'robot' })).status).toBe(201)
  })
})

describe("a bot's API token", () => {
  test("acts in its name: with the bot's roles, within its scopes", async () => {
    await using it = await start()
    const manager = await it.memberWith(it.ownerOf, 'manager', ['bot.manage', 'role.manage', 'member.ban'])
    const bot = await it.bot(manager, 'robot')
    const { token } = await it.token(manager, ['role.manage'], { botId: bot.id })
    const makeRole = (name: string) => it.request<Role>('POST', '/v1/roles', { token, body: { name } })
    // Its maker could; it can't yet.
    expect((await makeRole('one')).status).toBe(403)
    const role = await it.role(it.ownerOf, 'robots', ['role.manage', 'member.ban'])
    await it.assign(bot.id, [role.id])
    const made = await makeRole('one')
    expect(made.status).toBe(201)
    expect((await it.request('GET', '/v1/bans', { token })).status).toBe(403)
    const record = (await it.actions('role.created')).find(({ target }) => target.id === made.body.id)!
    expect(record.actor).toMatchObject({ kind: 'bot', id: bot.id })
    await it.assign(bot.id, [])
    expect((await makeRole('two')).status).toBe(403)
  })

  test("is made by those alone who manage bots, and with no scope that isn't theirs", async () => {
    await using it = await start()
    const manager = await it.manager()
    const bot = await it.bot(manager, 'robot')
    const role = await it.role(it.ownerOf, 'powers', ['administrator'])
    await it.assign(bot.id, [role.id])
    const ann = await it.memberWith(it.ownerOf, 'ann', ['role.manage', 'channel.view'])
    expect(await it.create(ann, { botId: bot.id })).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
    expect(await it.create(manager, { botId: bot.id, scopes: ['role.manage'] })).toMatchObject({
      status: 403,
      body: { code: 'token.scopeNotHeld' },
    })
  })

  test('is not for a person', async () => {
    await using it = await start()
    const [manager, ann] = [await it.manager(), await it.member('ann')]
    for (const botId of [ann.user.id, manager.user.id]) {
      expect(await it.create(manager, { botId })).toMatchObject({ status: 404, body: { code: 'bot.notFound' } })
    }
  })

  test('is seen and ended by whoever made the bot, and whoever manages all of them; by nobody else', async () => {
    await using it = await start()
    const [maker, manager, ann] = [await it.manager('maker'), await it.manager('other'), await it.member('ann')]
    const bot = await it.bot(maker, 'robot')
    const one = await it.token(it.ownerOf, ['channel.view'], { botId: bot.id })
    const two = await it.token(manager, ['channel.view'], { botId: bot.id })
    const three = await it.token(maker, ['channel.view'], { botId: bot.id })
    // They have made it, and manage no bots any more.
    await it.assign(maker.user.id, [])
    const ids = async (by: Authenticated) => (await it.list(by)).items.map(({ id }) => id)
    for (const by of [maker, manager, it.ownerOf]) expect(await ids(by)).toEqual([three.id, two.id, one.id])
    expect(await ids(ann)).toEqual([])
    expect((await it.revoke(ann, one.id)).status).toBe(404)
    expect((await it.revoke(maker, one.id)).status).toBe(204)
    expect((await it.revoke(manager, three.id)).status).toBe(204)
    expect((await it.create(maker, { botId: bot.id })).status).toBe(403)
    expect(await ids(it.ownerOf)).toEqual([two.id])
    const records = await it.actions('token.revoked')
    expect(records.map(({ target, data }) => [target.id, (data as { by: string }).by])).toEqual([
      [one.id, 'user'],
      [three.id, 'manager'],
    ])
  })

  test('is out of reach, as the bot itself is, for whoever does not stand above it', async () => {
    await using it = await start()
    // Each new role is made below the others.
    const high = await it.role(it.ownerOf, 'high')
    const manager = await it.manager()
    const bot = await it.bot(it.ownerOf, 'robot')
    const { id } = await it.token(it.ownerOf, ['channel.view'], { botId: bot.id })
    await it.assign(bot.id, [high.id])
    const refused = { status: 403, body: { code: 'member.notBelowYou' } }
    expect(await it.create(manager, { botId: bot.id })).toMatchObject(refused)
    expect(await it.revoke(manager, id)).toMatchObject(refused)
    expect(await it.change(manager, bot.id, { displayName: 'x' })).toMatchObject(refused)
    expect(await it.remove(manager, bot.id)).toMatchObject(refused)
    expect((await it.refusals('access.refused', 4)).map(({ actor }) => actor.id)).toContain(manager.user.id)
    const low = await it.role(it.ownerOf, 'low')
    await it.assign(bot.id, [low.id])
    expect((await it.create(manager, { botId: bot.id })).status).toBe(201)
    expect((await it.revoke(manager, id)).status).toBe(204)
  })

  test('is not made for a bot that was kicked', async () => {
    await using it = await start()
    const manager = await it.manager()
    const bot = await it.bot(manager, 'robot')
    await it.request('POST', `/v1/members/${bot.id}/kick`, { token: it.ownerOf.accessToken })
    expect((await it.bots(manager)).items).toMatchObject([{ id: bot.id, isMember: false }])
    expect(await it.create(manager, { botId: bot.id })).toMatchObject({ status: 409, body: { code: 'bot.notAMember' } })
    expect((await it.remove(manager, bot.id)).status).toBe(204)
  })

  test('cannot make another token, be it one for everything', async () => {
    await using it = await start()
    const bot = await it.bot(it.ownerOf, 'robot')
    const { token } = await it.token(it.ownerOf, ['administrator'], { botId: bot.id })
    const body = { name: 'more', scopes: ['administrator'] }
    expect(await it.request('POST', '/v1/auth/tokens', { token, body })).toMatchObject({
      status: 403,
      body: { code: 'access.notForTokens' },
    })
  })
})

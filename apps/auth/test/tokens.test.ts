import { describe, expect, test } from 'bun:test'
import {
  everyoneDefaults,
  isWellFormedApiToken,
  newApiToken,
  type OwnUser,
  type Permission,
  permissionNames,
} from '@conntext/contracts'
import { apiTokens, channelOverrides, channels, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { Guard } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq, sql } from 'drizzle-orm'
import { startAuth, testClock } from './stack.ts'
import { tokenCalls } from './support/tokens.ts'

const DAY_MS = 24 * 60 * 60_000

async function start(overrides: Parameters<typeof startAuth>[0] = {}) {
  const auth = await startAuth(overrides)
  return Object.assign(auth, tokenCalls(auth))
}

/** How many statements of this test's database wait for a lock. */
async function waiting(db: ServerDetailsExecutor): Promise<number> {
  const [row] = (await db.execute(sql`select count(*)::int as count from pg_locks
    join pg_stat_activity using (pid) where not granted and datname = current_database()`)) as unknown as [
    { count: number },
  ]
  return row.count
}

describe('making an API token', () => {
  test('shows it once, and keeps nothing of it that could be used', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    const { status, body } = await auth.create(ann, { name: ' deploys ', scopes: ['message.send', 'channel.view'] })
    expect(status).toBe(201)
    const { token, ...rest } = body
    expect(isWellFormedApiToken(token)).toBe(true)
    expect(rest).toMatchObject({
      name: 'deploys',
      scopes: ['channel.view', 'message.send'],
      userId: ann.user.id,
      createdBy: ann.user.id,
      lastUsedAt: null,
    })
    expect((await auth.list(ann)).items).toEqual([rest as never])
    const raw =
      JSON.stringify(await auth.database.auth.select().from(apiTokens)) + JSON.stringify(await auth.delivered())
    expect(raw).not.toContain(token)
    expect(raw).not.toContain(token.slice(9, 40))
  })

  test('gives it 90 days unless told, and no end where that is wished', async () => {
    const clock = testClock()
    await using auth = await start({ clock })
    const ann = await auth.member('ann')
    const inDays = async (fields: object) => {
      const { expiresAt } = await auth.token(ann, ['channel.view'], { ...fields })
      return expiresAt && (Date.parse(expiresAt) - clock.now().getTime()) / DAY_MS
    }
    expect(await inDays({})).toBe(90)
    expect(await inDays({ expiresInSeconds: 86_400 })).toBe(1)
    expect(await inDays({ expiresInSeconds: null })).toBeNull()
  })

  test.each([
    ['no scopes', { scopes: [] }],
    ['a scope that there is not', { scopes: ['server.destroy'] }],
    ['a scope twice', { scopes: ['channel.view', 'channel.view'] }],
    ['no name', { name: ' ' }],
    ['a life of seconds', { expiresInSeconds: 59 }],
    ['a life of years', { expiresInSeconds: 31_536_001 }],
    ['somebody to act for', { userId: newId() }],
    ['a value of its own', { token: newApiToken() }],
  ])('takes none with %s', async (_, fields) => {
    await using auth = await start()
    expect((await auth.create(await auth.member('ann'), fields)).status).toBe(422)
    expect(await auth.database.auth.select().from(apiTokens)).toEqual([])
  })

  test('takes proof that it is still the person', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    expect(await auth.create(ann, { password: undefined })).toMatchObject({
      status: 403,
      body: { code: 'confirmation.required' },
    })
    expect(await auth.create(ann, { password: 'a wrong password' })).toMatchObject({
      status: 403,
      body: { code: 'confirmation.failed' },
    })
    expect(await auth.database.auth.select().from(apiTokens)).toEqual([])
  })

  test('takes a name that can be shown', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    for (const name of ['a\ud800b', '\u2800', 'a\u202eb']) {
      expect(await auth.create(ann, { name })).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
    }
  })

  test('is for who is logged in', async () => {
    await using auth = await start()
    expect((await auth.request('POST', '/v1/auth/tokens', { body: {} })).status).toBe(401)
    expect((await auth.request('GET', '/v1/auth/tokens')).status).toBe(401)
    expect((await auth.request('DELETE', `/v1/auth/tokens/${newId()}`)).status).toBe(401)
  })

  test('gives no scope that its maker does not have, and puts the try on record', async () => {
    await using auth = await start()
    const owner = await auth.owner()
    const mod = await auth.memberWith(owner, 'mod', ['role.manage'])
    for (const scopes of [['administrator'], ['role.manage', 'member.ban'], permissionNames]) {
      expect(await auth.create(mod, { scopes })).toMatchObject({ status: 403, body: { code: 'token.scopeNotHeld' } })
    }
    expect((await auth.create(mod, { scopes: ['role.manage'] })).status).toBe(201)
    expect((await auth.create(owner, { scopes: permissionNames })).status).toBe(201)
    const refusals = await auth.refusals('access.refused', 1)
    expect(refusals[0]).toMatchObject({ actor: { id: mod.user.id }, target: { id: 'POST /v1/auth/tokens' } })
    expect(await auth.actions('token.created')).toHaveLength(2)
  })

  test('takes what its maker has in one channel for had', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    const { system } = auth.database
    const channel = { id: newId(), name: 'hers', nameKey: 'hers', type: 'text' as const, position: 0 }
    await system.insert(channels).values(channel)
    const override = { channelId: channel.id, targetKind: 'member' as const, targetId: ann.user.id, deny: [] }
    expect((await auth.create(ann, { scopes: ['message.manage'] })).status).toBe(403)
    await system.insert(channelOverrides).values({ ...override, allow: ['message.manage'] })
    await auth.bus.publish('authority.changed', '{}')
    expect((await auth.create(ann, { scopes: ['message.manage'] })).status).toBe(201)
  })

  test('stops at a hundred that can be used, also when several are made at once', async () => {
    const clock = testClock()
    await using auth = await start({ clock })
    const ann = await auth.member('ann')
    const row = (index: number, expiresAt: Date | null = null) => ({
      id: newId(),
      hash: new Uint8Array([index >> 8, index & 255]),
      userId: ann.user.id,
      createdBy: ann.user.id,
      name: `${index}`,
      scopes: ['channel.view'],
      expiresAt,
    })
    const over = Array.from({ length: 10 }, (_, index) => row(index, new Date(clock.now().getTime() - 1)))
    const living = Array.from({ length: 98 }, (_, index) => row(1000 + index))
    await auth.database.auth.insert(apiTokens).values([...over, ...living])
    const making: ReturnType<typeof auth.create>[] = []
    // All four have got as far as they can without one another when they are let go.
    await auth.database.auth.transaction(async (tx) => {
      await tx.select().from(users).where(eq(users.id, ann.user.id)).for('update')
      making.push(...Array.from({ length: 4 }, () => auth.create(ann)))
      await eventually(async () => (await waiting(auth.database.system)) === 4)
    })
    const answers = await Promise.all(making)
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 409, 409])
    expect(answers.find(({ status }) => status === 409)!.body.code).toBe('token.tooMany')
    const [one] = (await auth.list(ann)).items
    expect((await auth.revoke(ann, one!.id)).status).toBe(204)
    expect((await auth.create(ann)).status).toBe(201)
  })
})

describe('an API token', () => {
  test('does what its bearer may, within its scopes', async () => {
    await using auth = await start()
    const owner = await auth.owner()
    const mod = await auth.memberWith(owner, 'mod', ['role.manage', 'invite.manage'])
    const { token } = await auth.token(mod, ['role.manage'])
    const narrow = await auth.token(mod, ['invite.manage'])
    const all = await auth.token(owner, ['administrator'])
    const makeRole = (bearer: string, name: string, permissions: Permission[] = []) =>
      auth.request('POST', '/v1/roles', { token: bearer, body: { name, permissions } })
    expect((await makeRole(token, 'one')).status).toBe(201)
    expect((await makeRole(narrow.token, 'two')).status).toBe(403)
    // Its bearer could give that; the token can't.
    expect(await makeRole(token, 'three', ['invite.manage'])).toMatchObject({
      body: { code: 'role.permissionNotHeld' },
    })
    expect((await makeRole(all.token, 'four', ['member.ban'])).status).toBe(201)
    await auth.give(owner, mod.user.id, [])
    expect((await makeRole(token, 'five')).status).toBe(403)
    // What all members see, every token of theirs does.
    expect((await auth.request('GET', '/v1/members', { token: narrow.token })).status).toBe(200)
    const [made] = (await auth.actions('role.created')).filter(({ data }) => (data as { name: string }).name === 'one')
    expect(made!.actor).toMatchObject({ kind: 'user', id: mod.user.id })
  })

  test('does nothing to the account: on every such route it is refused, whatever its scopes', async () => {
    await using auth = await start()
    const owner = await auth.owner()
    const { token } = await auth.token(owner, permissionNames)
    const routes = auth.service.app.routes.map(({ method, path, hooks }) => ({
      method,
      path: path.replace(/:\w+/g, newId()),
      needs: (hooks as { detail?: Record<string, string> }).detail?.['x-permission'],
    }))
    const account = routes.filter(({ needs }) => needs === 'account')
    expect(account.map(({ method, path }) => `${method} ${path}`)).toContain('POST /v1/auth/tokens')
    for (const { method, path } of account) {
      const answer = await auth.request<{ code: string }>(method, path, {
        token,
        ...(method === 'GET' ? {} : { body: {} }),
      })
      expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 403, 'access.notForTokens'])
    }
    // Whatever else lies under these is for everybody, or takes a permission; but that a bot may see who it is.
    const own = routes.filter(
      ({ method, path }) => path.startsWith('/v1/auth/') || (path.startsWith('/v1/users/@me') && method !== 'GET'),
    )
    expect(own.filter(({ needs }) => needs === 'member' || needs === undefined)).toEqual([])
  })

  test("sees who it is, and not its bearer's email address", async () => {
    await using auth = await start()
    const { body: ann } = await auth.register({ username: 'ann', email: 'ann@example.org' })
    const { token } = await auth.token(ann, everyoneDefaults)
    const me = async (bearer: string) => (await auth.request<OwnUser>('GET', '/v1/users/@me', { token: bearer })).body
    expect(await me(ann.accessToken)).toMatchObject({ id: ann.user.id, email: 'ann@example.org' })
    expect(await me(token)).toMatchObject({ id: ann.user.id, username: 'ann', email: null })
  })

  test.each(['nonsense', 'conntext_', newApiToken(), `${newApiToken().slice(0, -1)}!`])(
    'that nobody made is a 401 (%#)',
    async (token) => {
      await using auth = await start()
      expect((await auth.request('GET', '/v1/members', { token })).status).toBe(401)
    },
  )

  test('ends with its time', async () => {
    const clock = testClock()
    await using auth = await start({ clock })
    const ann = await auth.member('ann')
    const { token } = await auth.token(ann, ['channel.view'], { expiresInSeconds: 60 })
    const lasting = await auth.token(ann, ['channel.view'], { expiresInSeconds: null })
    const status = async (bearer: string) => (await auth.request('GET', '/v1/members', { token: bearer })).status
    clock.advance(59_999)
    expect(await status(token)).toBe(200)
    clock.advance(1)
    expect(await status(token)).toBe(401)
    expect(await auth.port.identifyToken({ token })).toBeNull()
    clock.advance(1000 * DAY_MS)
    expect(await status(lasting.token)).toBe(200)
  })

  test('says when it was last used, to the minute', async () => {
    const clock = testClock()
    await using auth = await start({ clock })
    const ann = await auth.member('ann')
    const { token } = await auth.token(ann, ['channel.view'], { expiresInSeconds: null })
    const seen = async () => {
      const [row] = await auth.database.auth.select().from(apiTokens)
      return row!.lastUsedAt?.getTime() ?? null
    }
    expect(await seen()).toBeNull()
    const first = clock.now().getTime()
    await auth.port.identifyToken({ token })
    clock.advance(59_999)
    await auth.port.identifyToken({ token })
    expect(await seen()).toBe(first)
    clock.advance(1)
    await auth.port.identifyToken({ token })
    expect(await seen()).toBe(first + 60_000)
    expect((await auth.list(ann)).items[0]!.lastUsedAt).toBe(new Date(first + 60_000).toISOString())
  })

  test('does not get what its owner got with the same Idempotency-Key', async () => {
    await using auth = await start()
    const owner = await auth.owner()
    const { token } = await auth.token(owner, ['role.manage'])
    const body = { name: 'high', permissions: ['member.ban'] }
    const headers = { 'idempotency-key': 'the-same' }
    const first = await auth.request('POST', '/v1/roles', { token: owner.accessToken, body, headers })
    const again = await auth.request('POST', '/v1/roles', { token: owner.accessToken, body, headers })
    expect([first.status, again.status, again.text]).toEqual([201, 201, first.text])
    expect((await auth.request('POST', '/v1/roles', { token, body, headers })).status).toBe(403)
  })
})

describe('ending an API token', () => {
  test('ends it everywhere at once, and is on record', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    const [gone, kept] = [await auth.token(ann, ['channel.view']), await auth.token(ann, ['channel.view'])]
    // Another instance, which has seen the token; and one that starts afterwards.
    const elsewhere = new Guard({ auth: auth.port, bus: auth.bus, log: silentLogger })
    await elsewhere.start()
    expect(await elsewhere.identify(gone.token)).toMatchObject({ sessionId: gone.id, scopes: ['channel.view'] })
    expect((await auth.request('GET', '/v1/members', { token: gone.token })).status).toBe(200)
    expect((await auth.revoke(ann, gone.id)).status).toBe(204)
    expect((await auth.request('GET', '/v1/members', { token: gone.token })).status).toBe(401)
    expect(await elsewhere.identify(gone.token)).toBeUndefined()
    expect(await elsewhere.identify(kept.token)).toBeDefined()
    await elsewhere.stop()
    expect(auth.published).toContainEqual({
      subject: 'session.revoked',
      payload: { sessionId: gone.id, userId: ann.user.id },
    })
    const { sessions } = await auth.port.revokedSessions({ seconds: 60 })
    expect(sessions.map(({ id }) => id)).toEqual([gone.id])
    expect((await auth.list(ann)).items.map(({ id }) => id)).toEqual([kept.id])
    expect(await auth.revoke(ann, gone.id)).toMatchObject({ status: 404, body: { code: 'token.notFound' } })
    expect(await auth.actions('token.revoked')).toMatchObject([
      { actor: { id: ann.user.id }, target: { kind: 'token', id: gone.id }, data: { userId: ann.user.id, by: 'user' } },
    ])
  })

  test("is for one's own: other people's are neither seen nor ended, by whoever", async () => {
    await using auth = await start()
    const owner = await auth.owner()
    const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
    const { id, token } = await auth.token(ann, ['channel.view'])
    for (const other of [bob, owner]) {
      expect((await auth.list(other)).items).toEqual([])
      const stranger = await auth.revoke(other, id)
      const nothing = await auth.revoke(other, newId())
      expect([stranger.status, stranger.body.code]).toEqual([404, 'token.notFound'])
      expect({ ...stranger.body, requestId: '' }).toEqual({ ...nothing.body, requestId: '' })
    }
    expect((await auth.request('GET', '/v1/members', { token })).status).toBe(200)
  })

  test('is not told of one that ran out, in pages of any size', async () => {
    const clock = testClock()
    await using auth = await start({ clock })
    const ann = await auth.member('ann')
    await auth.token(ann, ['channel.view'], { expiresInSeconds: 60 })
    const made = []
    for (let i = 0; i < 3; i += 1) made.unshift((await auth.token(ann, ['channel.view'])).id)
    clock.advance(60_000)
    const first = await auth.list(ann, '?limit=2')
    const second = await auth.list(ann, `?limit=2&cursor=${first.nextCursor}`)
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(made)
    expect(second.nextCursor).toBeNull()
  })
})

describe('the API tokens of somebody', () => {
  test.each([
    ['is banned', '/v1/bans', true],
    ['is kicked', '/v1/members/:id/kick', false],
  ])('who %s end, those that they made for bots too', async (_, path, inBody) => {
    await using auth = await start()
    const owner = await auth.owner()
    const ann = await auth.memberWith(owner, 'ann', ['bot.manage'])
    const bot = await auth.bot(ann, 'robot')
    const own = await auth.token(ann, ['channel.view'])
    const given = await auth.token(ann, ['channel.view'], { botId: bot.id })
    const kept = await auth.token(owner, ['channel.view'], { botId: bot.id })
    const status = async (token: string) => (await auth.request('GET', '/v1/members', { token })).status
    expect([await status(own.token), await status(given.token)]).toEqual([200, 200])
    const body = inBody ? { userId: ann.user.id } : undefined
    const ended = await auth.request('POST', path.replace(':id', ann.user.id), { token: owner.accessToken, body })
    expect(ended.status).toBeLessThan(300)
    expect([await status(own.token), await status(given.token), await status(kept.token)]).toEqual([401, 401, 200])
    const records = await auth.actions('token.revoked')
    expect(records.map(({ target }) => target.id).sort()).toEqual([own.id, given.id].sort())
    const revoked = auth.published.filter(({ subject }) => subject === 'session.revoked')
    expect(revoked.map(({ payload }) => (payload as { sessionId: string }).sessionId)).toContain(own.id)
  })

  test('who has left are good for nothing', async () => {
    await using auth = await start()
    const ann = await auth.member('ann')
    const { token } = await auth.token(ann, ['channel.view'])
    await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.id, ann.user.id))
    await auth.bus.publish('authority.changed', JSON.stringify({ userId: ann.user.id }))
    expect(await auth.request('GET', '/v1/members', { token })).toMatchObject({
      status: 403,
      body: { code: 'access.notAMember' },
    })
    expect(await auth.create(ann)).toMatchObject({ status: 403, body: { code: 'token.scopeNotHeld' } })
    expect((await auth.list(ann)).items).toHaveLength(1)
  })
})

import { describe, expect, test } from 'bun:test'
import { Fields } from '@conntext/contracts'
import { newId, silentLogger } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { access, actorOf, baseApp } from '../src/index.ts'
import { request, startGuard } from './support/app.ts'

const Body = Fields({ text: Type.String({ minLength: 1 }) })
const Params = Fields({ channelId: Type.String({ pattern: '^[0-9a-f-]{36}$' }) })

async function start() {
  const guarded = await startGuard()
  const seen: unknown[] = []
  const app = baseApp({ log: silentLogger }).use(
    new Elysia({ normalize: false })
      .use(access(guarded))
      .get('/v1/members', ({ caller }) => ({ userId: caller.userId }), { can: 'member' })
      .post('/v1/roles', ({ caller }) => seen.push(caller), { can: 'role.manage', parse: 'json', body: Body })
      .get('/v1/open', ({ visitor }) => visitor, { public: true })
      .post('/v1/channels/:channelId/messages', ({ caller }) => seen.push(caller), {
        can: 'message.send',
        parse: 'json',
        params: Params,
        body: Body,
      }),
  )
  return {
    ...guarded,
    app,
    seen,
    send: (path: string, sending: Parameters<typeof request>[1] = {}) => app.handle(request(path, sending)),
    [Symbol.asyncDispose]: () => guarded.guard.stop(),
  }
}

/** An answer without what differs from request to request. */
async function comparable(answer: Response) {
  const { requestId, ...body } = (await answer.json()) as { requestId: string }
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => name !== 'x-request-id'))
  return { requestId: typeof requestId, status: answer.status, headers, body }
}

describe('a route with a permission', () => {
  test.each([
    ['no header', {}],
    ['no token', { authorization: 'Bearer ' }],
    ['another scheme', { authorization: 'Basic dXNlcjpwYXNz' }],
    ['a made-up token', { authorization: 'Bearer made.up.token' }],
  ])('is a 401 with %s', async (_, headers) => {
    await using it = await start()
    const answer = await it.send('/v1/members', { method: 'GET', headers })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toMatchObject({ code: 'access.unauthenticated', status: 401 })
  })

  test('lets in whoever has it, and a member where that is enough', async () => {
    await using it = await start()
    const { userId, token } = await it.authority.member()
    const answer = await it.send('/v1/members', { method: 'GET', token })
    expect(await answer.json()).toEqual({ userId })
    const manager = await it.authority.member({ permissions: ['role.manage'] })
    expect((await it.send('/v1/roles', { token: manager.token, body: { text: 'x' } })).status).toBe(200)
  })

  test('is a 403 that names the permission, and is recorded with the route as it is declared', async () => {
    await using it = await start()
    const { userId, token } = await it.authority.member()
    const answer = await it.send('/v1/roles', { token, body: { text: 'x' }, headers: { 'x-request-id': 'r-1' } })
    expect(answer.status).toBe(403)
    expect(await answer.json()).toMatchObject({
      code: 'access.forbidden',
      detail: 'This needs the permission role.manage.',
      requestId: 'r-1',
    })
    expect(it.refusals).toMatchObject([
      { caller: { userId, requestId: 'r-1' }, permission: 'role.manage', route: 'POST /v1/roles' },
    ])
    expect(it.seen).toEqual([])
  })

  test('asks for admission before it looks at what was sent', async () => {
    await using it = await start()
    const { token } = await it.authority.member()
    const nonsense = { text: 7, surprise: true }
    expect((await it.send('/v1/roles', { body: nonsense })).status).toBe(401)
    expect((await it.send('/v1/roles', { token, body: nonsense })).status).toBe(403)
    const manager = await it.authority.member({ permissions: ['role.manage'] })
    expect((await it.send('/v1/roles', { token: manager.token, body: nonsense })).status).toBe(422)
  })

  test('tells the handler who calls, from the token and the gateway alone', async () => {
    await using it = await start()
    const { userId, sessionId, token } = await it.authority.member({ permissions: ['role.manage'] })
    const headers = {
      'x-request-id': 'r-1',
      'x-conntext-address': '192.0.2.1',
      'user-agent': 'test/1',
      'x-audit-reason': 'f%C3%BCr alle',
    }
    await it.send('/v1/roles', { token, body: { text: 'x' }, headers })
    const caller = {
      requestId: 'r-1',
      address: '192.0.2.1',
      userAgent: 'test/1',
      reason: 'für alle',
      userId,
      sessionId,
      kind: 'user' as const,
      scopes: null,
    }
    expect(it.seen).toEqual([caller])
    const { userId: id, scopes: _, ...rest } = caller
    expect(actorOf(caller)).toEqual({ id, ...rest })
  })
})

describe('a route in a channel', () => {
  const path = (channelId: string) => `/v1/channels/${channelId}/messages`
  const body = { text: 'x' }

  async function channels() {
    const it = await start()
    const hidden = await it.authority.channel()
    const everyone = it.authority.snapshot.roles[0]!
    it.authority.snapshot.overrides.push({
      channelId: hidden.id,
      targetKind: 'role',
      targetId: everyone.id,
      allow: [],
      deny: ['channel.view'],
    })
    await it.authority.changed()
    return Object.assign(it, { hidden, open: await it.authority.channel() })
  }

  test('answers the same for a hidden channel, for one that is not there, and for what is no id', async () => {
    await using it = await channels()
    const { token } = await it.authority.member()
    const hidden = await comparable(await it.send(path(it.hidden.id), { token, body }))
    expect(hidden).toMatchObject({ status: 404, body: { code: 'channel.notFound' } })
    for (const id of [newId(), 'no-id', '..%2f', '%00']) {
      expect(await comparable(await it.send(path(id), { token, body }))).toEqual(hidden)
    }
    // Nobody learns it from the answer to a bad body either, and it is no refusal that could be counted.
    expect(await comparable(await it.send(path(it.hidden.id), { token, body: { text: 7 } }))).toEqual(hidden)
    expect(it.refusals).toEqual([])
  })

  test('asks for the permission in that channel', async () => {
    await using it = await channels()
    const { userId, token } = await it.authority.member()
    expect((await it.send(path(it.open.id), { token, body })).status).toBe(200)
    const target = { targetKind: 'member' as const, targetId: userId, allow: [] }
    it.authority.snapshot.overrides.push({ ...target, channelId: it.open.id, deny: ['message.send'] })
    await it.authority.changed()
    expect((await it.send(path(it.open.id), { token, body })).status).toBe(403)
  })

  test('lets the owner in everywhere', async () => {
    await using it = await channels()
    const { token } = await it.authority.member({ owner: true })
    expect((await it.send(path(it.hidden.id), { token, body })).status).toBe(200)
    expect((await it.send(path(newId()), { token, body })).status).toBe(404)
  })
})

describe('a public route', () => {
  test('takes anybody, and says what is known of them', async () => {
    await using it = await start()
    const answer = await it.send('/v1/open', { method: 'GET', headers: { 'user-agent': 'x'.repeat(1000) } })
    expect(answer.status).toBe(200)
    const visitor = (await answer.json()) as Record<string, string>
    expect(visitor).toMatchObject({ address: null, reason: null })
    expect(visitor.userAgent).toHaveLength(512)
    expect(actorOf(visitor as never)).toMatchObject({ kind: 'anonymous', id: null, sessionId: null })
  })

  test('takes a reason that is not well encoded as it is', async () => {
    await using it = await start()
    const answer = await it.send('/v1/open', { method: 'GET', headers: { 'x-audit-reason': '100%' } })
    expect(await answer.json()).toMatchObject({ reason: '100%' })
  })

  test.each([
    ['a NUL is left out', 'a%00b', 'ab'],
    ['a character is not cut in two', `${'r'.repeat(511)}%F0%9F%98%80`, 'r'.repeat(511)],
  ])('takes of a reason what can be kept, lest it keep a refusal from its record: %s', async (_, sent, kept) => {
    const it = await start()
    const answer = await it.send('/v1/open', { method: 'GET', headers: { 'x-audit-reason': sent } })
    expect(await answer.json()).toMatchObject({ reason: kept })
  })

  test.each(['a b', 'x'.repeat(129), 'ünï', '<script>'])('makes a new request id in place of %p', async (given) => {
    await using it = await start()
    const answer = await it.send('/v1/open', { method: 'GET', headers: { 'x-request-id': given } })
    const { requestId } = (await answer.json()) as { requestId: string }
    expect(requestId).not.toBe(given)
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/)
  })
})

test('every route says in its detail what it needs', async () => {
  await using it = await start()
  const needs = it.app.routes.map(
    (route) => (route.hooks as { detail: Record<string, unknown> }).detail['x-permission'],
  )
  expect(needs).toEqual(['member', 'role.manage', 'public', 'message.send'])
})

test('a request has one id, in its answer and in what is recorded of it', async () => {
  await using it = await start()
  const { token } = await it.authority.member()
  const answer = await it.send('/v1/roles', { token, body: { text: 'x' } })
  const { requestId } = (await answer.json()) as { requestId: string }
  expect(answer.headers.get('x-request-id')).toBe(requestId)
  expect(it.refusals[0]!.caller.requestId).toBe(requestId)
})

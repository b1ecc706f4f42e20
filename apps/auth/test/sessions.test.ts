import { expect, test } from 'bun:test'
import { type JsonWebKeySet, type Problem, type Session, subjects, userStream } from '@conntext/contracts'
import { loginFailures, refreshTokens, sessions } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { startAuth, testClock } from './stack.ts'

const DAY_MS = 86_400_000
type SessionPage = { items: Session[]; nextCursor: string | null } & Problem

test('a refresh token is exchanged for new tokens of the same session', async () => {
  await using auth = await startAuth()
  const first = await auth.member('ann')
  const { status, body } = await auth.refresh(first.refreshToken, { address: '192.0.2.8' })
  expect(status).toBe(200)
  expect(body).toMatchObject({ user: first.user, session: first.session })
  expect(body.refreshToken).not.toBe(first.refreshToken)
  expect((await auth.request('GET', '/v1/users/@me', { token: body.accessToken })).status).toBe(200)
  expect((await auth.refresh(body.refreshToken)).status).toBe(200)
})

test('a refresh token that was never given out is a 401, one of the wrong form a 422', async () => {
  await using auth = await startAuth()
  expect(await auth.refresh('made-up')).toMatchObject({ status: 401, body: { code: 'session.refreshTokenInvalid' } })
  expect(await auth.refresh('')).toMatchObject({ status: 422 })
})

test('a refresh token that is used again ends the session at once, and is audited', async () => {
  await using auth = await startAuth()
  const first = await auth.member('ann')
  const { body: second } = await auth.refresh(first.refreshToken)
  const again = await auth.refresh(first.refreshToken, { address: '192.0.2.66' })
  expect(again).toMatchObject({ status: 401, body: { code: 'session.refreshTokenInvalid' } })

  expect((await auth.request('GET', '/v1/users/@me', { token: second.accessToken })).status).toBe(401)
  expect((await auth.refresh(second.refreshToken)).status).toBe(401)
  const revocation = { sessionId: first.session.id, userId: first.user.id }
  expect(auth.published).toContainEqual({ subject: subjects.sessionRevoked, payload: revocation })
  expect(await auth.actions('session.refreshReused')).toMatchObject([
    {
      severity: 'warning',
      actor: { kind: 'anonymous', address: '192.0.2.66' },
      target: { kind: 'session', id: first.session.id },
      data: { userId: first.user.id },
    },
  ])
  expect(await auth.actions('session.revoked')).toMatchObject([{ data: { by: 'refreshReused' } }])
  expect(await auth.events('session.revoked')).toMatchObject([
    { stream: userStream(first.user.id), data: { id: first.session.id } },
  ])
})

test('of refreshes that race with one token exactly one wins, and the session ends once', async () => {
  await using auth = await startAuth()
  const { refreshToken } = await auth.member('ann')
  const answers = await Promise.all(Array.from({ length: 8 }, () => auth.refresh(refreshToken)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(7)
  expect(await auth.actions('session.refreshReused')).toHaveLength(1)
  expect(await auth.actions('session.revoked')).toHaveLength(1)
})

test('a session lives for thirty days after its last use, an access token for five minutes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const first = await auth.member('ann')
  const own = (token: string) => auth.request('GET', '/v1/users/@me', { token })
  clock.advance(299_000)
  expect((await own(first.accessToken)).status).toBe(200)
  clock.advance(2_000)
  expect((await own(first.accessToken)).status).toBe(401)

  clock.advance(29 * DAY_MS)
  const { body: second } = await auth.refresh(first.refreshToken)
  clock.advance(29 * DAY_MS)
  const { status, body: third } = await auth.refresh(second.refreshToken)
  expect(status).toBe(200)
  clock.advance(30 * DAY_MS + 1)
  expect((await auth.refresh(third.refreshToken)).status).toBe(401)
})

test('logging out ends the session at once, whoever asks', async () => {
  await using auth = await startAuth()
  const { accessToken, refreshToken, session, user } = await auth.member('ann')
  const { body: other } = await auth.login('ann')
  const { status, text } = await auth.request('POST', '/v1/auth/logout', { token: accessToken })
  expect({ status, text }).toEqual({ status: 204, text: '' })
  expect((await auth.request('GET', '/v1/users/@me', { token: accessToken })).status).toBe(401)
  expect((await auth.refresh(refreshToken)).status).toBe(401)
  expect((await auth.request('GET', '/v1/users/@me', { token: other.accessToken })).status).toBe(200)
  expect(await auth.port.revokedSessions({ seconds: 60 })).toMatchObject({ sessions: [{ id: session.id }] })
  expect(await auth.actions('session.revoked')).toMatchObject([
    { actor: { id: user.id }, target: { id: session.id }, data: { userId: user.id, by: 'logout' } },
  ])
  expect((await auth.request('POST', '/v1/auth/logout')).status).toBe(401)
})

test('one sees where one is logged in, newest first, page by page', async () => {
  await using auth = await startAuth()
  await auth.member('ann')
  await auth.member('bob')
  await auth.login('ann', undefined, { address: '192.0.2.2', headers: { 'user-agent': 'phone' } })
  const { body: last } = await auth.login('ann')
  await auth.refresh(last.refreshToken, { address: '192.0.2.3', headers: { 'user-agent': 'laptop' } })
  const list = (query = '') =>
    auth.request<SessionPage>('GET', `/v1/auth/sessions${query}`, { token: last.accessToken })

  const { status, body } = await list()
  expect(status).toBe(200)
  expect(body.items).toMatchObject([
    { id: last.session.id, current: true, address: '192.0.2.3', userAgent: 'laptop' },
    { current: false, address: '192.0.2.2', userAgent: 'phone' },
    { current: false, address: null },
  ])
  const { body: first } = await list('?limit=2')
  const { body: rest } = await list(`?limit=2&cursor=${first.nextCursor}`)
  expect([...first.items, ...rest.items]).toEqual(body.items)
  expect(rest.nextCursor).toBeNull()

  expect(await list('?cursor=nonsense')).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  expect(await list('?limit=101')).toMatchObject({ status: 422 })
  expect((await auth.request('GET', '/v1/auth/sessions')).status).toBe(401)
})

test('one ends one’s own sessions; other people’s are the same 404 as those that are not there', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const bob = await auth.member('bob')
  const { body: second } = await auth.login('ann')
  const end = (id: string, token?: string) => auth.request<Problem>('DELETE', `/v1/auth/sessions/${id}`, { token })

  expect((await end(second.session.id, ann.accessToken)).status).toBe(204)
  expect((await auth.request('GET', '/v1/users/@me', { token: second.accessToken })).status).toBe(401)
  const foreign = await end(bob.session.id, ann.accessToken)
  const unknown = await end(newId(), ann.accessToken)
  expect(foreign).toMatchObject({ status: 404, body: { code: 'session.notFound' } })
  expect({ ...foreign.body, requestId: '' }).toEqual({ ...unknown.body, requestId: '' })
  expect((await auth.request('GET', '/v1/users/@me', { token: bob.accessToken })).status).toBe(200)
  expect((await end('not-an-id', ann.accessToken)).status).toBe(422)
  expect((await end(ann.session.id)).status).toBe(401)
  expect(await auth.actions('session.revoked')).toMatchObject([{ data: { by: 'user' } }])
})

test('anybody can verify an access token with the published keys', async () => {
  await using auth = await startAuth()
  const { accessToken, user, session } = await auth.member('ann')
  const { status, body } = await auth.request<JsonWebKeySet>('GET', '/.well-known/jwks.json')
  expect(status).toBe(200)
  expect(await auth.port.keys({})).toEqual(body)
  expect(decodeProtectedHeader(accessToken)).toMatchObject({ alg: 'EdDSA', kid: body.keys[0]!.kid })
  const { payload } = await jwtVerify(accessToken, createLocalJWKSet(body))
  expect(payload).toMatchObject({ sub: user.id, sid: session.id, iss: 'conntext', aud: 'conntext' })
  expect(payload.exp! - payload.iat!).toBeWithin(298, 302)
})

test('a token with a changed claim, or signed by somebody else, is refused', async () => {
  await using auth = await startAuth()
  await using other = await startAuth({ masterKey: new Uint8Array(32).fill(9) })
  const { accessToken } = await auth.member('ann')
  const [head, , signature] = accessToken.split('.')
  const forged = Buffer.from(JSON.stringify({ sub: newId(), sid: newId(), exp: 9e9 })).toString('base64url')
  const foreign = (await other.member('ann')).accessToken
  for (const token of [`${head}.${forged}.${signature}`, foreign, 'nonsense']) {
    expect(await auth.request('GET', '/v1/users/@me', { token })).toMatchObject({
      status: 401,
      body: { code: 'access.unauthenticated' },
    })
  }
})

test('sessions, tokens and failures that nobody asks for any more are deleted', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const kept = (await auth.login('ann')).body
  await auth.request('POST', '/v1/auth/logout', { token: ann.accessToken })
  await auth.login('ann', 'not the password')
  await auth.refresh(kept.refreshToken)
  clock.advance(8 * DAY_MS)
  await auth.service.stop()
  await auth.service.start()
  const db = auth.database.auth
  await eventually(async () => (await db.select().from(loginFailures)).length === 0)
  expect((await db.select().from(sessions)).map(({ id }) => id)).toEqual([kept.session.id])
  expect(await db.select().from(refreshTokens)).toMatchObject([{ sessionId: kept.session.id, usedAt: null }])
})

import { expect, test } from 'bun:test'
import { type JsonWebKeySet, type Problem, type Session, subjects, userStream } from '@conntext/contracts'
import { loginFailures, refreshTokens, sessions } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { isNull } from 'drizzle-orm'
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
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const first = await auth.member('ann')
  const { body: second } = await auth.refresh(first.refreshToken)
  clock.advance(10_000)
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

test('tabs that refresh at once with one token all get the same new one, and go on with it', async () => {
  await using auth = await startAuth()
  const { refreshToken, session } = await auth.member('ann')
  const answers = await Promise.all(Array.from({ length: 8 }, () => auth.refresh(refreshToken)))
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
  expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1)
  expect(new Set(answers.map(({ body }) => body.refreshTokenExpiresAt)).size).toBe(1)
  for (const { body } of answers) {
    expect(body.session).toEqual(session)
    expect((await auth.request('GET', '/v1/users/@me', { token: body.accessToken })).status).toBe(200)
  }
  expect((await auth.refresh(answers[3]!.body.refreshToken)).status).toBe(200)
  expect(await auth.actions('session.refreshReused')).toHaveLength(0)
})

test('a repeat gets the same token for ten seconds after the first use, and does not make them more', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { refreshToken } = await auth.member('ann')
  const { body: second } = await auth.refresh(refreshToken)
  clock.advance(9_000)
  expect((await auth.refresh(refreshToken)).body.refreshToken).toBe(second.refreshToken)
  clock.advance(999)
  expect((await auth.refresh(refreshToken)).body.refreshToken).toBe(second.refreshToken)
  clock.advance(1)
  expect((await auth.refresh(refreshToken)).status).toBe(401)
  expect((await auth.refresh(second.refreshToken)).status).toBe(401)
  expect(await auth.actions('session.refreshReused')).toHaveLength(1)
})

test('a repeat whose successor has been used already is a theft, however soon it comes', async () => {
  await using auth = await startAuth()
  const { refreshToken } = await auth.member('ann')
  const { body: second } = await auth.refresh(refreshToken)
  const { body: third } = await auth.refresh(second.refreshToken)
  expect((await auth.refresh(refreshToken)).status).toBe(401)
  expect((await auth.refresh(third.refreshToken)).status).toBe(401)
  expect((await auth.request('GET', '/v1/users/@me', { token: third.accessToken })).status).toBe(401)
  expect(await auth.actions('session.refreshReused')).toHaveLength(1)
  expect(await auth.actions('session.revoked')).toHaveLength(1)
})

test('thieves that race with an old token end the session once', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { refreshToken } = await auth.member('ann')
  await auth.refresh(refreshToken)
  clock.advance(10_000)
  const answers = await Promise.all(Array.from({ length: 8 }, () => auth.refresh(refreshToken)))
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(401))
  expect(await auth.actions('session.refreshReused')).toHaveLength(1)
  expect(await auth.actions('session.revoked')).toHaveLength(1)
})

test('a repeat does not bring a session back that has ended, nor move it to where the repeat came from', async () => {
  await using auth = await startAuth()
  const { refreshToken } = await auth.member('ann')
  const { body } = await auth.refresh(refreshToken, { address: '192.0.2.1' })
  await auth.refresh(refreshToken, { address: '192.0.2.66' })
  const { body: page } = await auth.request<SessionPage>('GET', '/v1/auth/sessions', { token: body.accessToken })
  expect(page.items).toMatchObject([{ address: '192.0.2.1' }])
  await auth.request('POST', '/v1/auth/logout', { token: body.accessToken })
  expect((await auth.refresh(refreshToken)).status).toBe(401)
  expect(await auth.actions('session.refreshReused')).toHaveLength(0)
})

test('what a token was exchanged for is in the database only sealed, and not for longer than it is of use', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { refreshToken } = await auth.member('ann')
  const { body } = await auth.refresh(refreshToken)
  const rows = () => auth.database.auth.select().from(refreshTokens)
  const kept = (await rows()).find(({ usedAt }) => usedAt !== null)!.successor!
  expect(Buffer.from(kept).toString('latin1')).not.toContain(body.refreshToken)
  clock.advance(10_001)
  await auth.service.stop()
  await auth.service.start()
  await eventually(async () => (await rows()).every(({ successor }) => successor === null))
})

test('one ends all other sessions at once, and keeps this one', async () => {
  await using auth = await startAuth()
  const bob = await auth.member('bob')
  const first = await auth.member('ann')
  const { body: second } = await auth.login('ann')
  const { body: third } = await auth.login('ann')
  const end = (token?: string) => auth.request('DELETE', '/v1/auth/sessions', { token })
  expect((await end(second.accessToken)).status).toBe(204)
  const own = async ({ accessToken }: { accessToken: string }) =>
    (await auth.request('GET', '/v1/users/@me', { token: accessToken })).status
  expect(await Promise.all([first, second, third, bob].map(own))).toEqual([401, 200, 401, 200])
  expect((await auth.refresh(first.refreshToken)).status).toBe(401)
  expect((await auth.refresh(second.refreshToken)).status).toBe(200)
  expect((await auth.actions('session.revoked')).map(({ data }) => data.by)).toEqual(['user', 'user'])
  expect((await end()).status).toBe(401)
})

test('an account has at most a hundred sessions: the one that was idle longest makes room', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const first = await auth.member('ann')
  clock.advance(1_000)
  const { body: second } = await auth.login('ann')
  const db = auth.database.auth
  const [row] = await db.select().from(sessions)
  clock.advance(1_000)
  const lastUsedAt = clock.now()
  await db.insert(sessions).values(Array.from({ length: 98 }, () => ({ ...row!, id: newId(), lastUsedAt })))
  clock.advance(1_000)
  const { body: renewed } = await auth.refresh(first.refreshToken)
  const answers = await Promise.all([0, 1, 2].map(() => auth.login('ann')))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  const living = await db.select().from(sessions).where(isNull(sessions.revokedAt))
  expect(living).toHaveLength(100)
  expect(living.map(({ id }) => id)).toContain(renewed.session.id)
  expect((await auth.request('GET', '/v1/users/@me', { token: second.accessToken })).status).toBe(401)
  expect((await auth.actions('session.revoked')).map(({ data }) => data.by)).toEqual(Array(3).fill('tooMany'))
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
  const phone =
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'
  const laptop = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
  await auth.login('ann', undefined, { address: '192.0.2.2', headers: { 'user-agent': phone } })
  const { body: last } = await auth.login('ann')
  await auth.refresh(last.refreshToken, { address: '192.0.2.3', headers: { 'user-agent': laptop } })
  const list = (query = '') =>
    auth.request<SessionPage>('GET', `/v1/auth/sessions${query}`, { token: last.accessToken })

  const { status, body } = await list()
  expect(status).toBe(200)
  expect(body.items).toMatchObject([
    { id: last.session.id, current: true, address: '192.0.2.3', userAgent: laptop, device: 'Firefox on Linux' },
    { current: false, address: '192.0.2.2', userAgent: phone, device: 'Safari on iOS', methods: ['pwd'] },
    { current: false, address: null, device: null },
  ])
  const { body: first } = await list('?limit=2')
  const { body: rest } = await list(`?limit=2&cursor=${first.nextCursor}`)
  expect([...first.items, ...rest.items]).toEqual(body.items)
  expect(rest.nextCursor).toBeNull()

  expect(await list('?cursor=nonsense')).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  expect(await list('?limit=101')).toMatchObject({ status: 422 })
  expect((await auth.request('GET', '/v1/auth/sessions')).status).toBe(401)
})

test('one sees each of one’s own sessions; what has ended and other people’s is a 404', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const bob = await auth.member('bob')
  const { body: second } = await auth.login('ann')
  const get = (id: string, token?: string) =>
    auth.request<Session & Problem>('GET', `/v1/auth/sessions/${id}`, { token })

  const { body: page } = await auth.request<SessionPage>('GET', '/v1/auth/sessions', { token: ann.accessToken })
  for (const session of page.items) {
    expect(await get(session.id, ann.accessToken)).toMatchObject({ status: 200, body: session })
  }
  expect(await get(second.session.id, second.accessToken)).toMatchObject({ status: 200, body: { current: true } })
  await auth.request('DELETE', `/v1/auth/sessions/${second.session.id}`, { token: ann.accessToken })
  for (const id of [second.session.id, bob.session.id, newId()]) {
    expect(await get(id, ann.accessToken)).toMatchObject({ status: 404, body: { code: 'session.notFound' } })
  }
  expect((await get('not-an-id', ann.accessToken)).status).toBe(422)
  expect((await get(ann.session.id)).status).toBe(401)
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

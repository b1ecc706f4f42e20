import { expect, test } from 'bun:test'
import { subjects } from '@conntext/contracts'
import { credentials, sessions, totpSecrets } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'
import { URI } from 'otpauth'
import { authenticatorApp, confirm, enrol, firstStep, requireMfa, secondStep, withTotp } from './second-factors.ts'
import { PASSWORD, startAuth, testClock } from './stack.ts'

test('an authenticator app is set up with the secret or its URI, and a code', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const token = ann.accessToken
  const { status, body } = await enrol(auth, ann)
  expect(status).toBe(200)
  expect(body.secret).toMatch(/^[A-Z2-7]{32}$/)
  const scanned = URI.parse(body.uri)
  expect(scanned).toMatchObject({ issuer: 'ConnText', label: 'ann', algorithm: 'SHA1', digits: 6, period: 30 })
  expect(scanned.secret.base32).toBe(body.secret)

  const before = await auth.request('GET', '/v1/auth/mfa', { token })
  expect(before.body).toEqual({ totp: false, passkeys: 0, recoveryCodesLeft: 0 })
  const confirmed = await confirm(auth, ann, authenticatorApp(body.secret, clock).code())
  expect(confirmed.status).toBe(200)
  expect(confirmed.body.recoveryCodes).toHaveLength(10)
  const after = await auth.request('GET', '/v1/auth/mfa', { token })
  expect(after.body).toEqual({ totp: true, passkeys: 0, recoveryCodesLeft: 10 })
  expect((await auth.port.grant({ userId: ann.user.id }))?.mfa).toBe(true)
  expect(await auth.actions('mfa.enabled')).toMatchObject([
    { actor: { id: ann.user.id, sessionId: ann.session.id }, target: { id: ann.user.id }, data: { method: 'totp' } },
  ])
})

test('what others have cached of the account is dropped before the answer', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { secret } = (await enrol(auth, ann)).body
  auth.published.length = 0
  await confirm(auth, ann, authenticatorApp(secret, clock).code())
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: { userId: ann.user.id } })
})

test('the secret is kept sealed', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { secret } = (await enrol(auth, ann)).body
  const [row] = await auth.database.auth.select().from(totpSecrets)
  expect(Buffer.from(row!.secret).toString('latin1')).not.toContain(secret)
  expect(row!.confirmedAt).toBeNull()
})

test('setting one up takes the password, and being logged in', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  expect(await enrol(auth, ann, 'not the password')).toMatchObject({
    status: 403,
    body: { code: 'confirmation.failed' },
  })
  const bare = await auth.request('POST', '/v1/auth/totp/enrol', { token: ann.accessToken, body: {} })
  expect(bare).toMatchObject({ status: 403, body: { code: 'confirmation.required' } })
  for (const path of ['enrol', 'confirm', 'disable', 'recovery-codes']) {
    expect((await auth.request('POST', `/v1/auth/totp/${path}`, { body: {} })).status).toBe(401)
  }
  expect((await auth.request('GET', '/v1/auth/mfa')).status).toBe(401)
  expect(await auth.database.auth.select().from(totpSecrets)).toHaveLength(0)
})

test('what is not valid is a 422', async () => {
  await using auth = await startAuth()
  const { accessToken: token } = await auth.member('ann')
  const post = (path: string, body: unknown) => auth.request('POST', `/v1/auth/${path}`, { token, body })
  expect((await post('totp/enrol', { password: PASSWORD, secret: 'JBSWY3DPEHPK3PXP' })).status).toBe(422)
  expect((await post('totp/confirm', { code: '1' })).status).toBe(422)
  expect((await post('totp/confirm', {})).status).toBe(422)
  expect((await post('login/totp', { mfaToken: 'x', code: '123456', password: 'y' })).status).toBe(422)
})

test('a wrong code confirms nothing, a code without an enrolment neither, and an enrolment ends by itself', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  expect(await confirm(auth, ann, '123456')).toMatchObject({ status: 409, body: { code: 'totp.notEnrolled' } })
  const app = authenticatorApp((await enrol(auth, ann)).body.secret, clock)
  const wrong = app.code() === '123456' ? '654321' : '123456'
  expect(await confirm(auth, ann, wrong)).toMatchObject({ status: 422, body: { code: 'totp.codeWrong' } })
  expect(await confirm(auth, ann, app.code(2))).toMatchObject({ status: 422 })
  expect((await auth.login('ann')).body.accessToken).toBeString()
  clock.advance(30 * 60_000 + 1)
  const later = (await auth.login('ann')).body
  expect(await confirm(auth, later, app.code())).toMatchObject({ status: 409, body: { code: 'totp.notEnrolled' } })
})

test('a second one is refused, one that was never confirmed gives way', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const first = authenticatorApp((await enrol(auth, ann)).body.secret, clock)
  const second = authenticatorApp((await enrol(auth, ann)).body.secret, clock)
  expect((await confirm(auth, ann, first.code())).status).toBe(422)
  expect((await confirm(auth, ann, second.code())).status).toBe(200)
  expect(await enrol(auth, ann)).toMatchObject({ status: 409, body: { code: 'totp.alreadyEnabled' } })
  expect(await confirm(auth, ann, second.code(1))).toMatchObject({ status: 409, body: { code: 'totp.notEnrolled' } })
})

test('the first factor ends the other sessions, at once and on record', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const elsewhere = (await auth.login('ann')).body
  const bob = await auth.member('bob')
  await withTotp(auth, clock, ann)
  const alive = async (token: string) => (await auth.request('GET', '/v1/auth/mfa', { token })).status
  expect(await alive(elsewhere.accessToken)).toBe(401)
  expect((await auth.refresh(elsewhere.refreshToken)).status).toBe(401)
  expect(await alive(ann.accessToken)).toBe(200)
  expect(await alive(bob.accessToken)).toBe(200)
  expect(await auth.actions('session.revoked')).toMatchObject([
    { target: { id: elsewhere.session.id }, data: { userId: ann.user.id, by: 'mfaEnabled' } },
  ])
})

test('a login then takes a code of the app, and says so', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { app } = await withTotp(auth, clock, await auth.member('ann'))
  const waiting = await firstStep(auth, 'ann')
  expect(waiting).toEqual({ mfaRequired: true, mfaToken: expect.any(String), methods: ['totp', 'recoveryCode'] })
  const { status, body } = await secondStep(auth, 'totp', waiting.mfaToken, app.code())
  expect(status).toBe(200)
  expect(body.user).toMatchObject({ username: 'ann', mfaEnabled: true })
  expect((await auth.request('GET', '/v1/users/@me', { token: body.accessToken })).status).toBe(200)
  const [row] = await auth.database.auth.select().from(sessions).where(eq(sessions.id, body.session.id))
  expect(row!.methods).toEqual(['pwd', 'otp', 'mfa'])
})

test('codes of the step before and after are taken, those further off are not', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { app } = await withTotp(auth, clock, await auth.member('ann'))
  // Far from every code that was taken so far.
  clock.advance(300_000)
  const tried = async (later: number) =>
    (await secondStep(auth, 'totp', (await firstStep(auth, 'ann')).mfaToken, app.code(later))).status
  expect(await tried(-2)).toBe(401)
  expect(await tried(2)).toBe(401)
  expect(await tried(-1)).toBe(200)
  expect(await tried(0)).toBe(200)
  expect(await tried(1)).toBe(200)
  // A later one was taken.
  expect(await tried(0)).toBe(401)
})

test('no code is taken twice: not the one that confirmed, not at the login, not by ten at once', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { secret } = (await enrol(auth, ann)).body
  const app = authenticatorApp(secret, clock)
  await confirm(auth, ann, app.code())
  const confirming = await secondStep(auth, 'totp', (await firstStep(auth, 'ann')).mfaToken, app.code())
  expect(confirming).toMatchObject({ status: 401, body: { code: 'login.secondFactorFailed' } })

  clock.advance(30_000)
  // As many as are free before there are pauses.
  const waiting = await Promise.all([1, 2, 3, 4].map((host) => firstStep(auth, 'ann', `192.0.2.${host}`)))
  const answers = await Promise.all(waiting.map(({ mfaToken }) => secondStep(auth, 'totp', mfaToken, app.code())))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401])
})

test('the token of the first step is good for one success, five failures or ten minutes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { app } = await withTotp(auth, clock, await auth.member('ann'))
  const once = await firstStep(auth, 'ann')
  expect((await secondStep(auth, 'totp', once.mfaToken, '000000')).status).toBe(401)
  expect((await secondStep(auth, 'totp', once.mfaToken, app.code())).status).toBe(200)
  expect((await secondStep(auth, 'totp', once.mfaToken, app.code(1))).status).toBe(401)

  const often = await firstStep(auth, 'ann')
  for (let i = 0; i < 5; i++) {
    expect((await secondStep(auth, 'totp', often.mfaToken, 'abcdef')).status).toBe(401)
  }
  // Past the pause that five failures bring: it is the token that is dead.
  clock.advance(30_000)
  expect(await secondStep(auth, 'totp', often.mfaToken, app.code())).toMatchObject({
    status: 401,
    body: { code: 'login.secondFactorFailed' },
  })

  clock.advance(10 * 60_000)
  const late = await firstStep(auth, 'ann')
  clock.advance(10 * 60_000)
  expect((await secondStep(auth, 'totp', late.mfaToken, app.code())).status).toBe(401)
  expect((await secondStep(auth, 'totp', 'made-up', app.code())).status).toBe(401)
})

test('guesses are throttled by account over any number of logins, sent at once or not', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { app } = await withTotp(auth, clock, await auth.member('ann'))
  const waiting = await Promise.all(Array.from({ length: 12 }, (_, host) => firstStep(auth, 'ann', `192.0.2.${host}`)))
  const answers = await Promise.all(
    waiting.map(({ mfaToken }, host) => secondStep(auth, 'totp', mfaToken, '000000', `198.51.100.${host}`)),
  )
  const counted = Object.groupBy(answers, ({ status }) => status)
  expect(counted[401]).toHaveLength(5)
  expect(counted[429]).toHaveLength(7)
  expect(counted[429]![0]).toMatchObject({ body: { code: 'login.throttled', retryAfter: 2 } })

  clock.advance(2_000)
  const right = waiting[answers.findIndex(({ status }) => status === 429)]!
  expect((await secondStep(auth, 'totp', right.mfaToken, app.code())).status).toBe(200)
  expect((await secondStep(auth, 'totp', (await firstStep(auth, 'ann')).mfaToken, '000000')).status).toBe(401)
})

test('an address that guesses tokens and codes has to wait', async () => {
  await using auth = await startAuth({ clock: testClock() })
  const guess = () => secondStep(auth, 'totp', 'made-up', '000000', '192.0.2.1')
  for (let i = 0; i < 20; i++) expect((await guess()).status).toBe(401)
  expect(await guess()).toMatchObject({ status: 429, body: { code: 'login.throttled' } })
  expect((await secondStep(auth, 'totp', 'made-up', '000000', '192.0.2.2')).status).toBe(401)
})

test('failed second steps are on record, in whose name they were', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  await withTotp(auth, clock, ann)
  await secondStep(auth, 'totp', (await firstStep(auth, 'ann')).mfaToken, '000000', '192.0.2.1')
  expect(await auth.refusals('login.failed', 1)).toMatchObject([
    { actor: { address: '192.0.2.1' }, target: { id: ann.user.id }, data: { code: 'login.secondFactorFailed' } },
  ])
})

test('another account’s code is no use', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await withTotp(auth, clock, await auth.member('ann'))
  const { app } = await withTotp(auth, clock, await auth.member('bob'))
  expect((await secondStep(auth, 'totp', (await firstStep(auth, 'ann')).mfaToken, app.code())).status).toBe(401)
})

test('it is disabled with the password; logging in then takes no second step, and the recovery codes are gone', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  await withTotp(auth, clock, ann)
  const { accessToken: token } = ann
  const disable = (body: object) => auth.request('POST', '/v1/auth/totp/disable', { token, body })
  expect(await disable({ password: 'wrong wrong' })).toMatchObject({ status: 403 })
  auth.published.length = 0
  expect((await disable({ password: PASSWORD })).status).toBe(204)
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: { userId: ann.user.id } })
  expect(await disable({ password: PASSWORD })).toMatchObject({ status: 409, body: { code: 'totp.notEnabled' } })
  const { body } = await auth.request('GET', '/v1/auth/mfa', { token })
  expect(body).toEqual({ totp: false, passkeys: 0, recoveryCodesLeft: 0 })
  expect((await auth.login('ann')).body.accessToken).toBeString()
  expect(await auth.actions('mfa.disabled')).toMatchObject([{ target: { id: ann.user.id }, data: { method: 'totp' } }])
})

test('where the server asks for a second factor the last one stays, the owner’s too', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const people = [owner, ann]
  for (const person of people) await withTotp(auth, clock, person)
  await requireMfa(auth, true)
  const disable = ({ accessToken: token }: typeof ann) =>
    auth.request('POST', '/v1/auth/totp/disable', { token, body: { password: PASSWORD } })
  for (const person of people) {
    expect(await disable(person)).toMatchObject({ status: 409, body: { code: 'mfa.required' } })
    const { body } = await auth.request('GET', '/v1/auth/mfa', { token: person.accessToken })
    expect(body).toMatchObject({ totp: true, recoveryCodesLeft: 10 })
  }
  await requireMfa(auth, false)
  expect((await disable(ann)).status).toBe(204)
})

test('wrong codes of a session sent all at once get no more tries, where they stand for a password', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { app } = await withTotp(auth, clock, ann)
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, ann.user.id))
  const tryCode = (code: string) =>
    auth.request('POST', '/v1/auth/totp/recovery-codes', { token: ann.accessToken, body: { code } })
  const wrong = app.code(-20)
  const answers = await Promise.all(Array.from({ length: 40 }, () => tryCode(wrong)))
  for (const { status } of answers) expect([403, 429, 503]).toContain(status)
  for (let more = 0; more < 5; more++) answers.push(await tryCode(wrong))
  expect(answers.filter(({ status }) => status === 403)).toHaveLength(5)
  expect((await tryCode(app.code())).status).toBe(429)
  clock.advance(2_000)
  expect((await tryCode(app.code())).status).toBe(200)
})

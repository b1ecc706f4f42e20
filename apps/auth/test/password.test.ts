import { expect, test } from 'bun:test'
import type { Problem } from '@conntext/contracts'
import { authOutbox, credentials, users, validationTokens } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq, inArray } from 'drizzle-orm'
import { firstStep, secondStep, withTotp } from './second-factors.ts'
import { PASSWORD, startAuth, testClock } from './stack.ts'

const NEW_PASSWORD = 'another correct battery'
const MINUTE_MS = 60_000
const EMAIL = 'ann@example.org'

type Auth = Awaited<ReturnType<typeof startAuth>>

const change = (auth: Auth, token: string | undefined, body: object) =>
  auth.request<Problem>('POST', '/v1/auth/password/change', { token, body })
const askReset = (auth: Auth, login: string, address = '192.0.2.1') =>
  auth.request<Problem>('POST', '/v1/auth/password/request-reset', { body: { login }, address })
const reset = (auth: Auth, token: string, newPassword = NEW_PASSWORD) =>
  auth.request<Problem>('POST', '/v1/auth/password/reset', { body: { token, newPassword } })

const tokenIn = (text: string) => /#token=(\S+)/.exec(text)![1]!

/** Registers with an address, and has read the mail that this brings. */
async function annOf(auth: Auth) {
  const { body } = await auth.register({ username: 'ann', email: EMAIL })
  await auth.mailTo(EMAIL)
  return body
}

/** The token of the newest reset mail. */
async function resetToken(auth: Auth, login = 'ann') {
  const before = auth.mails.length
  expect((await askReset(auth, login)).status).toBe(202)
  const mail = await auth.mailTo(EMAIL, before + 1)
  return tokenIn(mail!.text)
}

test('a changed password ends the other sessions at once, leaves this one, and is told by mail', async () => {
  await using auth = await startAuth()
  const other = await annOf(auth)
  const { body: mine } = await auth.login('ann')
  const answer = await change(auth, mine.accessToken, { currentPassword: PASSWORD, newPassword: NEW_PASSWORD })
  expect(answer).toMatchObject({ status: 204, text: '' })

  const own = (token: string) => auth.request('GET', '/v1/users/@me', { token })
  expect((await own(other.accessToken)).status).toBe(401)
  expect((await auth.refresh(other.refreshToken)).status).toBe(401)
  expect((await own(mine.accessToken)).status).toBe(200)
  expect((await auth.refresh(mine.refreshToken)).status).toBe(200)
  expect((await auth.login('ann', PASSWORD)).status).toBe(401)
  expect((await auth.login('ann', NEW_PASSWORD)).status).toBe(200)
  expect(await auth.mailTo(EMAIL, 2)).toMatchObject({ subject: 'Your password was changed' })
  expect(await auth.actions('user.passwordChanged')).toMatchObject([
    { actor: { id: mine.user.id }, target: { id: mine.user.id }, data: { by: 'user' } },
  ])
  expect(await auth.actions('session.revoked')).toMatchObject([{ data: { by: 'passwordChanged' } }])
})

test('a password is not changed without the current one; wrong ones bring growing pauses and are audited', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { accessToken, user } = await annOf(auth)
  const wrong = () => change(auth, accessToken, { currentPassword: 'wrong', newPassword: NEW_PASSWORD })
  expect(await change(auth, accessToken, { newPassword: NEW_PASSWORD })).toMatchObject({
    status: 403,
    body: { code: 'confirmation.required' },
  })
  // A code is no stand-in for the password.
  expect(await change(auth, accessToken, { newPassword: NEW_PASSWORD, code: '123456' })).toMatchObject({
    body: { code: 'confirmation.required' },
  })
  for (let i = 0; i < 5; i++)
    expect(await wrong()).toMatchObject({ status: 403, body: { code: 'confirmation.failed' } })
  const held = await change(auth, accessToken, { currentPassword: PASSWORD, newPassword: NEW_PASSWORD })
  expect(held).toMatchObject({ status: 429, body: { code: 'confirmation.throttled' } })
  // Whoever has the session doesn't keep its owner from logging in.
  expect((await auth.login('ann')).status).toBe(200)
  clock.advance(2_000)
  expect((await change(auth, accessToken, { currentPassword: PASSWORD, newPassword: NEW_PASSWORD })).status).toBe(204)
  expect(await auth.refusals('confirmation.failed', 2)).toMatchObject([
    { actor: { id: user.id }, target: { id: user.id }, outcome: 'failed', data: { code: 'confirmation.failed' } },
    { data: { code: 'confirmation.throttled' } },
  ])
})

test('wrong current passwords sent all at once get no more tries, and nobody waits for ever', async () => {
  await using auth = await startAuth({ clock: testClock(), passwords: { concurrency: 2, queue: 100 } })
  const { accessToken } = await annOf(auth)
  const wrong = () => change(auth, accessToken, { currentPassword: 'wrong', newPassword: NEW_PASSWORD })
  const logins = Array.from({ length: 20 }, () => auth.login('ann'))
  const answers = await Promise.all(Array.from({ length: 40 }, wrong))
  const tried = answers.filter(({ status }) => status === 403)
  expect(tried.length).toBeWithin(1, 6)
  for (const { status } of answers) expect([403, 429, 503]).toContain(status)
  for (const { status } of await Promise.all(logins)) expect(status).toBe(200)
})

test('who has no password sets a first one, shortly after having logged in', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { user, accessToken, refreshToken } = await annOf(auth)
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, user.id))
  expect((await change(auth, accessToken, { newPassword: NEW_PASSWORD })).status).toBe(204)
  expect((await auth.login('ann', NEW_PASSWORD)).status).toBe(200)

  await auth.database.auth.delete(credentials).where(eq(credentials.userId, user.id))
  clock.advance(10 * MINUTE_MS)
  // A refresh proves nothing.
  const { body } = await auth.refresh(refreshToken)
  expect(await change(auth, body.accessToken, { newPassword: NEW_PASSWORD })).toMatchObject({
    status: 403,
    body: { code: 'confirmation.required' },
  })
})

test('who has no password but an authenticator app proves it with a code, each once', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await annOf(auth)
  const { app } = await withTotp(auth, clock, ann)
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, ann.user.id))
  const set = (fields: object) => change(auth, ann.accessToken, { newPassword: NEW_PASSWORD, ...fields })
  expect(await set({})).toMatchObject({ status: 403, body: { code: 'confirmation.required' } })
  expect(await set({ code: '000000' })).toMatchObject({ status: 403, body: { code: 'confirmation.failed' } })
  const code = app.code()
  expect((await set({ code })).status).toBe(204)
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, ann.user.id))
  expect(await set({ code })).toMatchObject({ status: 403, body: { code: 'confirmation.failed' } })
})

test('a reset takes no second factor away', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { app } = await withTotp(auth, clock, await annOf(auth))
  const waiting = await firstStep(auth, 'ann')
  expect((await reset(auth, await resetToken(auth))).status).toBe(204)
  // Not even where the old password has been given already.
  expect((await secondStep(auth, 'totp', waiting.mfaToken, app.code())).status).toBe(401)
  const { body } = await auth.login('ann', NEW_PASSWORD)
  expect(body).toMatchObject({ mfaRequired: true })
})

test('a reset sets the password, ends all sessions, and logs nobody in', async () => {
  await using auth = await startAuth()
  const ann = await annOf(auth)
  const token = await resetToken(auth)
  const mail = auth.mails.at(-1)!
  expect(mail.text).toContain(`http://localhost:8080/reset-password#token=${token}`)
  expect(mail.text).toContain(`\n${token}\n`)
  expect(mail.text).not.toMatch(/\?\S*token/)
  const answer = await reset(auth, token)
  expect(answer).toMatchObject({ status: 204, text: '' })
  expect((await auth.request('GET', '/v1/users/@me', { token: ann.accessToken })).status).toBe(401)
  expect((await auth.refresh(ann.refreshToken)).status).toBe(401)
  expect((await auth.login('ann', PASSWORD)).status).toBe(401)
  expect((await auth.login('ann', NEW_PASSWORD)).status).toBe(200)
  expect(await auth.actions('user.passwordResetRequested')).toMatchObject([
    { actor: { kind: 'anonymous', address: '192.0.2.1' }, target: { id: ann.user.id } },
  ])
  expect(await auth.actions('user.passwordChanged')).toMatchObject([{ data: { by: 'reset' } }])
})

test('a reset token works once, also when it is used many times at once', async () => {
  await using auth = await startAuth()
  await annOf(auth)
  const token = await resetToken(auth)
  const answers = await Promise.all(Array.from({ length: 6 }, () => reset(auth, token)))
  expect(answers.map(({ status }) => status).sort()).toEqual([204, 400, 400, 400, 400, 400])
  expect(await reset(auth, token)).toMatchObject({ status: 400, body: { code: 'password.resetTokenInvalid' } })
})

test('wrong, ended, older and foreign tokens get one and the same answer', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await annOf(auth)
  const verification = tokenIn(auth.mails[0]!.text)
  const older = await resetToken(auth)
  const token = await resetToken(auth, EMAIL)
  const invalid = { status: 400, body: { code: 'password.resetTokenInvalid' } }
  for (const wrong of [older, verification, 'made-up', token.slice(1), `${token}A`]) {
    expect(await reset(auth, wrong)).toMatchObject(invalid)
  }
  // Nor is a reset token good for anything else.
  const verify = await auth.request('POST', '/v1/auth/email/verify', { body: { token } })
  expect(verify).toMatchObject({ status: 400, body: { code: 'email.tokenInvalid' } })
  expect((await auth.refresh(token)).status).toBe(401)
  clock.advance(30 * MINUTE_MS)
  expect(await reset(auth, token)).toMatchObject(invalid)
  expect((await auth.login('ann')).status).toBe(200)
})

test('a reset token ends with the address that it was sent to, and with a password that is set otherwise', async () => {
  await using auth = await startAuth()
  const ann = await annOf(auth)
  const first = await resetToken(auth)
  await auth.database.auth.update(users).set({ email: 'new@example.org', emailKey: 'new@example.org' })
  expect((await reset(auth, first)).status).toBe(400)
  await auth.database.auth.update(users).set({ email: EMAIL, emailKey: EMAIL })
  const second = await resetToken(auth)
  await change(auth, ann.accessToken, { currentPassword: PASSWORD, newPassword: NEW_PASSWORD })
  expect((await reset(auth, second)).status).toBe(400)
})

test('mail goes to the address that is stored, and to nobody for whom there is none', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'Ann', email: 'Ann@Example.org' })
  await auth.register({ username: 'bob' })
  const { body: eve } = await auth.register({ username: 'eve', email: 'eve@example.org' })
  await auth.database.auth.update(users).set({ standing: 'banned' }).where(eq(users.id, eve.user.id))
  const before = await auth.delivered().then(() => auth.mails.length)
  for (const login of ['bob', 'eve', 'nobody', 'nobody@example.org', 'ann@example.org\r\nBcc: x@example.org']) {
    expect((await askReset(auth, login)).status).toBe(202)
  }
  expect((await askReset(auth, 'ANN@EXAMPLE.ORG')).status).toBe(202)
  await auth.delivered()
  expect(auth.mails.slice(before).map(({ to }) => to)).toEqual(['Ann@Example.org'])
})

test('requests are answered alike, whoever is asked for', async () => {
  await using auth = await startAuth()
  await annOf(auth)
  const known = await askReset(auth, 'ann')
  const unknown = await askReset(auth, 'nobody')
  expect(known.status).toBe(202)
  expect(known.text).toBe(unknown.text)
  const names = (headers: Headers) => [...headers.keys()].sort()
  expect(names(known.headers)).toEqual(names(unknown.headers))
})

test('an address asks so often and then waits; a mailbox is not filled, whoever asks and whence', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await annOf(auth)
  for (let i = 0; i < 10; i++) expect((await askReset(auth, 'ann', '192.0.2.7')).status).toBe(202)
  const held = await askReset(auth, 'nobody', '192.0.2.7')
  expect(held).toMatchObject({ status: 429, body: { code: 'password.resetThrottled' } })
  for (let i = 0; i < 10; i++) expect((await askReset(auth, 'ann', `192.0.2.${20 + i}`)).status).toBe(202)
  await auth.delivered()
  expect(auth.mails.filter(({ subject }) => subject === 'Set a new password')).toHaveLength(3)
  clock.advance(MINUTE_MS)
  await resetToken(auth)
})

test('neither what was typed nor the token lies in the database in clear', async () => {
  const held = Promise.withResolvers<void>()
  const texts: string[] = []
  const send = async ({ text }: { text: string }) => {
    texts.push(text)
    await held.promise
  }
  await using auth = await startAuth({ mailer: { send } })
  await askReset(auth, 'somebody-typed-this', '198.51.100.23')
  await auth.register({ username: 'ann', email: EMAIL })
  const text = await eventually(() => texts[0])
  const dump = JSON.stringify([
    await auth.database.auth
      .select()
      .from(authOutbox)
      .where(inArray(authOutbox.topic, ['mail', 'passwordReset'])),
    await auth.database.auth.select().from(validationTokens),
  ])
  expect(dump).toContain('"topic":"mail"')
  for (const secret of [EMAIL, tokenIn(text), 'somebody-typed-this', '198.51.100.23']) {
    for (const encoding of ['utf8', 'base64', 'hex'] as const) {
      expect(dump).not.toContain(Buffer.from(secret).toString(encoding).replace(/=+$/, ''))
    }
  }
  held.resolve()
})

test('bodies that are not valid are a 422, without a token a 401, with an API token a 403', async () => {
  await using auth = await startAuth()
  const { accessToken } = await annOf(auth)
  const post = (path: string, body: object, token?: string) =>
    auth.request<Problem>('POST', `/v1/auth/password/${path}`, { body, token })
  const right = { currentPassword: PASSWORD, newPassword: NEW_PASSWORD }
  for (const [path, body] of [
    ['change', { ...right, userId: newId() }],
    ['change', { ...right, isOwner: true }],
    ['change', { ...right, newPassword: 'short' }],
    ['change', { currentPassword: PASSWORD }],
    ['request-reset', { login: 'ann', email: 'eve@example.org' }],
    ['request-reset', { login: '' }],
    ['request-reset', { login: ['ann'] }],
    // Taken down, it would hold up all that were asked for after it.
    ['request-reset', { login: 'ann\0' }],
    ['reset', { token: 'x', newPassword: NEW_PASSWORD, userId: newId() }],
    ['reset', { token: 'x' }],
    ['reset', { token: '', newPassword: NEW_PASSWORD }],
  ] as const) {
    expect(await post(path, body, accessToken)).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  }
  expect((await post('change', right)).status).toBe(401)
})

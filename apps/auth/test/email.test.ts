import { expect, test } from 'bun:test'
import type { Authenticated, OwnUser, Problem } from '@conntext/contracts'
import { users, validationTokens } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq, sql } from 'drizzle-orm'
import { PASSWORD, startAuth, testClock } from './stack.ts'

const EMAIL = 'ann@example.org'
const DAY_MS = 86_400_000

type Auth = Awaited<ReturnType<typeof startAuth>>

const own = async (auth: Auth, { accessToken }: Authenticated) =>
  (await auth.request<OwnUser>('GET', '/v1/users/@me', { token: accessToken })).body
const ask = (auth: Auth, token?: string) =>
  auth.request<Problem>('POST', '/v1/auth/email/request-verification', { token })
const verify = (auth: Auth, token: string) =>
  auth.request<Problem>('POST', '/v1/auth/email/verify', { body: { token } })
const tokenIn = (text: string) => /verify-email#token=(\S+)/.exec(text)![1]!
const invalid = { status: 400, body: { code: 'email.tokenInvalid' } }

test('whoever registers with an address gets a code there, and verifies it, once', async () => {
  await using auth = await startAuth()
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  expect(ann.user.emailVerified).toBe(false)
  const mail = await auth.mailTo(EMAIL)
  const token = tokenIn(mail!.text)
  expect(mail!.text).toContain(`\n${token}\n`)
  expect(await verify(auth, token)).toMatchObject({ status: 204, text: '' })
  expect((await own(auth, ann)).emailVerified).toBe(true)
  expect(await verify(auth, token)).toMatchObject(invalid)
  expect(await auth.actions('user.emailVerified')).toMatchObject([{ target: { id: ann.user.id } }])
  expect(await ask(auth, ann.accessToken)).toMatchObject({ status: 409, body: { code: 'email.alreadyVerified' } })
})

test('a code ends after a day, with the next one, and with the address that it was sent to', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  const first = tokenIn((await auth.mailTo(EMAIL))!.text)
  expect((await ask(auth, ann.accessToken)).status).toBe(202)
  const second = tokenIn((await auth.mailTo(EMAIL, 2))!.text)
  expect(await verify(auth, first)).toMatchObject(invalid)

  const patch = { email: 'new@example.org', password: PASSWORD }
  const changed = await auth.request<OwnUser>('PATCH', '/v1/users/@me', { token: ann.accessToken, body: patch })
  expect(changed).toMatchObject({ status: 200, body: { email: 'new@example.org', emailVerified: false } })
  expect(await verify(auth, second)).toMatchObject(invalid)
  const third = tokenIn((await auth.mailTo('new@example.org'))!.text)
  clock.advance(DAY_MS)
  expect(await verify(auth, third)).toMatchObject(invalid)
  const { body: again } = await auth.login('ann')
  expect((await own(auth, again)).emailVerified).toBe(false)
})

test('a verified address is to be verified anew once it has changed, there and back', async () => {
  await using auth = await startAuth()
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  await verify(auth, tokenIn((await auth.mailTo(EMAIL))!.text))
  for (const email of ['new@example.org', EMAIL]) {
    const body = { email, password: PASSWORD }
    const { body: user } = await auth.request<OwnUser>('PATCH', '/v1/users/@me', { token: ann.accessToken, body })
    expect(user).toMatchObject({ email, emailVerified: false })
  }
})

test('whoever has proved to read the former address is told there that it is not the account’s any more', async () => {
  await using auth = await startAuth()
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  const change = (email: string | null) =>
    auth.request('PATCH', '/v1/users/@me', { token: ann.accessToken, body: { email, password: PASSWORD } })
  const proved = 'proved@example.org'
  await change(proved)
  await verify(auth, tokenIn((await auth.mailTo(proved))!.text))
  await change('eve@example.org')
  const told = (await auth.mailTo(proved, 2))!
  expect(told).toMatchObject({ subject: 'Your email address was changed' })
  expect(told.text).toContain('account ann ')
  expect(told.text).not.toContain('eve@')
  await auth.delivered()
  // She never proved to read the first one.
  expect(auth.mails.filter(({ to }) => to === EMAIL)).toHaveLength(1)
})

test('neither an account nor an address is mailed without end', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  for (let i = 0; i < 2; i++) expect((await ask(auth, ann.accessToken)).status).toBe(202)
  const held = await ask(auth, ann.accessToken)
  expect(held).toMatchObject({ status: 429, body: { code: 'email.throttled' } })
  expect(Number(held.headers.get('retry-after'))).toBeGreaterThan(0)
  // A mail whose code is over by then is not sent.
  await auth.delivered()
  // Nor by giving an address that somebody else doesn't have any more.
  const token = ann.accessToken
  await auth.request('PATCH', '/v1/users/@me', { token, body: { email: null, password: PASSWORD } })
  const { body: bob, status } = await auth.register({ username: 'bob', email: EMAIL })
  expect(status).toBe(201)
  expect((await ask(auth, bob.accessToken)).status).toBe(429)
  await auth.delivered()
  expect(auth.mails.filter(({ to }) => to === EMAIL)).toHaveLength(3)
  clock.advance(61_000)
  const { body: later } = await auth.login('bob')
  expect((await ask(auth, later.accessToken)).status).toBe(202)
})

test('who has no address has nothing to verify; what is not valid is a 422, without a token a 401', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.member('bob')
  expect(await ask(auth, accessToken)).toMatchObject({ status: 409, body: { code: 'email.none' } })
  expect((await ask(auth)).status).toBe(401)
  for (const body of [{}, { token: '' }, { token: 'x', userId: newId() }, { token: 'x', email: EMAIL }]) {
    expect((await auth.request('POST', '/v1/auth/email/verify', { body })).status).toBe(422)
  }
  expect(await verify(auth, 'made-up')).toMatchObject(invalid)
})

test('a code that comes while the account is being changed waits for its turn, and nobody waits for each other', async () => {
  await using auth = await startAuth()
  const { body: ann } = await auth.register({ username: 'ann', email: EMAIL })
  const userId = ann.user.id
  const code = tokenIn((await auth.mailTo(EMAIL))!.text)
  const db = auth.database.auth
  const whileLocked = (send: () => Promise<{ status: number }>) =>
    db.transaction(async (tx) => {
      await tx.select().from(users).where(eq(users.id, userId)).for('no key update')
      const answer = send()
      const waiting = sql`
        select 1 from pg_locks join pg_stat_activity using (pid) where datname = current_database() and not granted`
      await eventually(async () => (await auth.database.system.execute(waiting)).length > 0)
      await tx.delete(validationTokens).where(eq(validationTokens.userId, userId))
      return { answer }
    })
  const verifying = await whileLocked(() => verify(auth, code))
  expect(await verifying.answer).toMatchObject(invalid)
  await auth.request('POST', '/v1/auth/password/request-reset', { body: { login: 'ann' } })
  const token = /reset-password#token=(\S+)/.exec((await auth.mailTo(EMAIL, 2))!.text)![1]!
  const body = { token, newPassword: 'another good long password' }
  const resetting = await whileLocked(() => auth.request('POST', '/v1/auth/password/reset', { body }))
  expect(await resetting.answer).toMatchObject({ status: 400, body: { code: 'password.resetTokenInvalid' } })
})

import { expect, test } from 'bun:test'
import { credentials, users } from '@conntext/db-server-details'
import { eventually } from '@conntext/testing'
import { eq, sql } from 'drizzle-orm'
import { hashPassword } from '../src/passwords/passwords.ts'
import { firstStep, secondStep, withTotp } from './second-factors.ts'
import { PASSWORD, startAuth, testClock } from './stack.ts'

test('one logs in by user name or email address, whatever the case', async () => {
  await using auth = await startAuth()
  const { body: account } = await auth.register({ username: 'Ann', email: 'Ann@Example.org' })
  for (const login of ['Ann', 'ann', 'ann@example.ORG']) {
    const { status, body } = await auth.login(login)
    expect(status).toBe(200)
    expect(body.user).toEqual(account.user)
    expect(body.session.id).not.toBe(account.session.id)
    expect((await auth.request('GET', '/v1/users/@me', { token: body.accessToken })).status).toBe(200)
  }
  expect(await auth.actions('session.created')).toHaveLength(4)
})

test('what is not valid is a 422', async () => {
  await using auth = await startAuth()
  expect(await auth.request('POST', '/v1/auth/login', { body: { login: 'ann' } })).toMatchObject({ status: 422 })
  expect(await auth.request('POST', '/v1/auth/login', { body: { login: 'a', password: 'b', c: 1 } })).toMatchObject({
    status: 422,
  })
})

test('a wrong password and an unknown account get the same answer, and are audited', async () => {
  await using auth = await startAuth()
  const { user } = await auth.member('ann')
  const wrong = await auth.login('ann', 'not the password', { address: '192.0.2.1' })
  const unknown = await auth.login('nobody', PASSWORD, { address: '192.0.2.1' })
  expect(wrong).toMatchObject({ status: 401, body: { code: 'login.failed' } })
  const { requestId: _, ...first } = wrong.body
  const { requestId: __, ...second } = unknown.body
  expect(first).toEqual(second)
  expect(await auth.refusals('login.failed', 2)).toMatchObject([
    { outcome: 'failed', actor: { kind: 'anonymous', address: '192.0.2.1' }, target: { id: user.id } },
    { target: { id: null }, data: { code: 'login.failed' } },
  ])
})

test('an unknown account costs the same work as a known one', async () => {
  await using auth = await startAuth()
  await auth.member('ann')
  const timed = async (login: string) => {
    const started = performance.now()
    await auth.login(login, 'not the password')
    return performance.now() - started
  }
  await timed('warm-up')
  const unknown = await Promise.all([0, 1, 2].map((i) => timed(`nobody${i}`)))
  // An argon2id hash takes tens of milliseconds; finding out that there is no row takes one or two.
  expect(Math.min(...unknown)).toBeGreaterThan(15)
})

test('somebody who is not in good standing cannot log in', async () => {
  await using auth = await startAuth()
  const { user } = await auth.member('ann')
  await auth.database.auth.update(users).set({ standing: 'banned' }).where(eq(users.id, user.id))
  expect(await auth.login('ann')).toMatchObject({ status: 401, body: { code: 'login.failed' } })
})

test('failures in an account’s name bring growing pauses, the right password too; a success ends them', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await auth.member('ann')
  const wrong = () => auth.login('ann', 'not the password')
  for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401)

  const pauses: number[] = []
  for (let i = 0; i < 3; i++) {
    const { status, body, headers } = await auth.login('ann')
    expect({ status, code: body.code }).toEqual({ status: 429, code: 'login.throttled' })
    pauses.push(Number(headers.get('retry-after')))
    clock.advance(pauses.at(-1)! * 1000)
    expect((await wrong()).status).toBe(401)
  }
  expect(pauses).toEqual([2, 4, 8])

  clock.advance(16_000)
  expect((await auth.login('ann')).status).toBe(200)
  for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401)
  expect((await wrong()).status).toBe(429)
})

test('failures are forgotten an hour after the last', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const wrong = () => auth.login('ann', 'not the password')
  for (let i = 0; i < 5; i++) await wrong()
  expect((await wrong()).status).toBe(429)
  clock.advance(3_600_001)
  for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401)
  expect((await wrong()).status).toBe(429)
})

test('nobody waits for a clock that was ahead by a day and was set right', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await auth.member('ann')
  const wrong = () => auth.login('ann', 'not the password')
  clock.advance(86_400_000)
  for (let i = 0; i < 5; i++) await wrong()
  expect((await auth.login('ann')).status).toBe(429)
  clock.advance(-86_400_000)
  expect((await wrong()).status).toBe(401)
  expect((await auth.login('ann')).status).toBe(200)
  // And guesses are as few as ever.
  for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401)
  expect((await wrong()).status).toBe(429)
})

test('an unknown account is throttled like a known one', async () => {
  await using auth = await startAuth({ clock: testClock() })
  for (let i = 0; i < 5; i++) expect((await auth.login('nobody')).status).toBe(401)
  expect((await auth.login('nobody')).status).toBe(429)
})

test('an address that fails in many names has to wait, the others of the world do not', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await auth.member('ann')
  const from = (address: string) => (i: number) => auth.login(`nobody${i}`, PASSWORD, { address })
  const attempts = await Promise.all(Array.from({ length: 20 }, (_, i) => from(`2001:db8:1:2::${i}`)(i)))
  expect(attempts.every(({ status }) => status === 401)).toBe(true)
  expect((await auth.login('ann', PASSWORD, { address: '2001:db8:1:2:ffff::1' })).status).toBe(429)
  expect((await auth.login('ann', PASSWORD, { address: '2001:db8:1:3::1' })).status).toBe(200)
  clock.advance(3_600_001)
  expect((await auth.login('ann', PASSWORD, { address: '2001:db8:1:2::1' })).status).toBe(200)
})

test('guesses that are sent all at once get no more tries than one after the other', async () => {
  await using auth = await startAuth({ clock: testClock(), passwords: { concurrency: 2, queue: 100 } })
  await auth.member('ann')
  const answers = await Promise.all(Array.from({ length: 30 }, () => auth.login('ann', 'not the password')))
  const tried = answers.filter(({ status }) => status === 401)
  // One more than the free ones may be under way beside the last of those.
  expect(tried.length).toBeWithin(5, 7)
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(30 - tried.length)
})

test('more logins than can wait get a 503 that says when to come back', async () => {
  await using auth = await startAuth({ passwords: { concurrency: 1, queue: 2 } })
  await auth.member('ann')
  const answers = await Promise.all(Array.from({ length: 12 }, () => auth.login('ann')))
  const counted = Object.groupBy(answers, ({ status }) => status)
  expect(counted[200]!.length).toBeGreaterThanOrEqual(3)
  const busy = counted[503]!
  expect(busy[0]).toMatchObject({ body: { code: 'password.busy' } })
  expect(Number(busy[0]!.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await auth.login('ann')).status).toBe(200)
})

test('who has left, or was kicked, logs in to their account and is no member', async () => {
  await using auth = await startAuth()
  const { user } = await auth.member('ann')
  await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.id, user.id))
  const { status, body } = await auth.login('ann')
  expect({ status, isMember: body.user.isMember }).toEqual({ status: 200, isMember: false })
  expect((await auth.request('GET', '/v1/auth/sessions', { token: body.accessToken })).status).toBe(200)
  expect((await auth.request('GET', '/v1/roles', { token: body.accessToken })).status).toBe(403)
})

test('who is banned is told so, until when and why, but only with the right password', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  const ban = { userId: user.id, expiresInSeconds: 3600 }
  const headers = { 'x-audit-reason': 'spam' }
  const { status } = await auth.request('POST', '/v1/bans', { token: owner.accessToken, headers, body: ban })
  expect(status).toBe(201)
  const until = new Date(clock.now().getTime() + 3_600_000).toISOString()
  expect(await auth.login('ann')).toMatchObject({
    status: 403,
    body: { code: 'login.banned', detail: `Until ${until}. spam` },
  })
  expect(await auth.login('ann', 'wrong')).toMatchObject({ status: 401, body: { code: 'login.failed' } })
  expect(await auth.refusals('login.failed', 2)).toMatchObject([{ data: { code: 'login.banned' } }, {}])
  clock.advance(3_600_000)
  expect(await auth.login('ann')).toMatchObject({ status: 200, body: { user: { isMember: true } } })
  expect(await auth.actions('member.unbanned')).toMatchObject([{ data: { by: 'expiry' } }])
})

test('who is banned and has a second factor is told so only once they have proved it', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const { app } = await withTotp(auth, clock, ann)
  await auth.request('POST', '/v1/bans', { token: owner.accessToken, body: { userId: ann.user.id } })
  const { mfaToken } = await firstStep(auth, 'ann')
  expect(await secondStep(auth, 'totp', mfaToken, '000000')).toMatchObject({ status: 401 })
  expect(await secondStep(auth, 'totp', mfaToken, app.code())).toMatchObject({
    status: 403,
    body: { code: 'login.banned', detail: 'For good.' },
  })
})

test('somebody elsewhere who fails in one’s name keeps one out from nowhere one is logged in', async () => {
  await using auth = await startAuth({ clock: testClock() })
  await auth.register({ username: 'ann' }, { address: '198.51.100.7' })
  for (let i = 0; i < 12; i++) await auth.login('ann', 'not the password', { address: `203.0.113.${i}` })
  const login = (address: string, password = PASSWORD) => auth.login('ann', password, { address })
  expect((await login('203.0.113.99')).status).toBe(429)
  expect((await login('198.51.100.7')).status).toBe(200)
  // Which makes nobody there free to guess.
  for (let i = 0; i < 12; i++) await auth.login('ann', 'not the password', { address: `203.0.113.${i}` })
  const there = []
  for (let i = 0; i < 7; i++) there.push((await login('198.51.100.7', 'not the password')).status)
  expect(there).toEqual([401, 401, 401, 401, 401, 429, 429])
})

test('a login under way with a password that is replaced meanwhile fails', async () => {
  await using auth = await startAuth()
  const { user } = await auth.member('ann')
  const db = auth.database.auth
  const waiting = async () => {
    const rows = (await db.execute(sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)) as unknown as object[]
    return rows.length > 0
  }
  const login = await db.transaction(async (tx) => {
    await tx.select().from(users).where(eq(users.id, user.id)).for('update')
    const answer = auth.login('ann')
    // By now the password has been found to be right.
    await eventually(waiting)
    await tx.update(credentials).set({ passwordHash: await hashPassword('another correct battery') })
    return { answer }
  })
  expect(await login.answer).toMatchObject({ status: 401, body: { code: 'login.failed' } })
  expect((await auth.login('ann', 'another correct battery')).status).toBe(200)
})

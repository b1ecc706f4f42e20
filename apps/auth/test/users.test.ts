import { describe, expect, test } from 'bun:test'
import type { OwnUser, Problem, User } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq } from 'drizzle-orm'
import { PASSWORD, publicSide, startAuth, testClock } from './stack.ts'

type Auth = Awaited<ReturnType<typeof startAuth>>

const patching = (auth: Auth, token: string) => (body: unknown) =>
  auth.request<OwnUser & Omit<Problem, 'status'>>('PATCH', '/v1/users/@me', { token, body })
const outcome = ({ status, body }: { status: number; body: Pick<Problem, 'code'> }) => `${status} ${body?.code}`

describe('what people show of themselves', () => {
  test('their display name is theirs to change, and all are told', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    const patch = patching(auth, accessToken)
    expect(await patch({ displayName: '  Ann B.  ' })).toMatchObject({
      status: 200,
      body: { ...user, displayName: 'Ann B.' },
    })
    expect(await auth.actions('user.updated')).toMatchObject([
      {
        actor: { id: user.id },
        target: { kind: 'user', id: user.id },
        data: { fields: ['displayName'], changes: { displayName: { from: null, to: 'Ann B.' } } },
      },
    ])
    const shown = publicSide(user)
    expect(await auth.events('user.updated')).toMatchObject([
      { stream: 'server', data: { ...shown, displayName: 'Ann B.' } },
    ])
    expect((await patch({ displayName: null })).body.displayName).toBeNull()
    expect((await patch({ displayName: '   ' })).status).toBe(200)
    expect(await auth.actions('user.updated')).toHaveLength(2)
  })

  test('their status replaces the one before, and ends by itself', async () => {
    const clock = testClock()
    await using auth = await startAuth({ clock })
    const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
    const patch = patching(auth, ann.accessToken)
    const seen = async () =>
      (await auth.request<User>('GET', `/v1/users/${ann.user.id}`, { token: bob.accessToken })).body.status
    const until = new Date(clock.now().getTime() + 60_000).toISOString()
    const status = { text: 'back soon', emoji: '☕', expiresAt: until }
    expect((await patch({ status: { text: ' back  soon', emoji: '☕', expiresInSeconds: 60 } })).body.status).toEqual(
      status,
    )
    expect(await seen()).toEqual(status)
    expect(await auth.events('user.updated')).toMatchObject([{ data: { id: ann.user.id, status } }])
    expect(await auth.actions('user.updated')).toMatchObject([
      { data: { fields: ['status'], changes: { status: { from: null, to: status } } } },
    ])
    clock.advance(59_000)
    expect(await seen()).toEqual(status)
    clock.advance(1_000)
    expect(await seen()).toBeNull()
    expect((await auth.request<OwnUser>('GET', '/v1/users/@me', { token: ann.accessToken })).body.status).toBeNull()
    expect((await patch({ status: { emoji: '👩🏽‍🚀' } })).body.status).toEqual({
      text: null,
      emoji: '👩🏽‍🚀',
      expiresAt: null,
    })
    expect((await patch({ status: null })).body.status).toBeNull()
    expect((await patch({ status: { expiresInSeconds: 60 } })).body.status).toBeNull()
  })

  test('their picture is an upload of theirs; the one before is taken back', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    const patch = patching(auth, accessToken)
    const [first, second, foreign] = [newId(), newId(), newId()]
    for (const id of [first, second]) auth.pictures.owners.set(id, user.id)
    auth.pictures.owners.set(foreign, newId())
    const shown = () => [...auth.pictures.shown]
    const holder = `user:${user.id}`
    expect((await patch({ avatarId: first })).body.avatarId).toBe(first)
    expect(shown()).toEqual([`${first} ${holder}`])
    expect(await auth.events('user.updated')).toMatchObject([{ data: { avatarId: first } }])
    for (const avatarId of [foreign, newId()]) expect(outcome(await patch({ avatarId }))).toBe('404 media.notFound')
    expect((await patch({ avatarId: second })).status).toBe(200)
    await auth.delivered()
    expect(shown()).toEqual([`${second} ${holder}`])
    expect((await patch({ avatarId: null })).body.avatarId).toBeNull()
    await auth.delivered()
    expect(shown()).toEqual([])
  })

  test('a picture that is theirs again stays shown, however late the one before is taken back', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    const patch = patching(auth, accessToken)
    const [first, second] = [newId(), newId()]
    for (const id of [first, second]) auth.pictures.owners.set(id, user.id)
    auth.pictures.away = true
    for (const avatarId of [first, second, first]) expect((await patch({ avatarId })).status).toBe(200)
    auth.pictures.away = false
    await auth.delivered()
    expect([...auth.pictures.shown]).toEqual([`${first} user:${user.id}`])
  })

  test('a picture for a change that comes to nothing is not shown', async () => {
    await using auth = await startAuth()
    await auth.register({ username: 'bob', email: 'bob@example.org' })
    const { accessToken, user } = await auth.member('ann')
    const picture = newId()
    auth.pictures.owners.set(picture, user.id)
    const body = { avatarId: picture, email: 'bob@example.org', password: PASSWORD }
    expect(outcome(await patching(auth, accessToken)(body))).toBe('409 user.emailTaken')
    await auth.delivered()
    expect([...auth.pictures.shown]).toEqual([])
    const [row] = await auth.database.auth.select().from(users).where(eq(users.id, user.id))
    expect(row!.avatarId).toBeNull()
  })
})

describe('an email address', () => {
  test('takes a confirmation, is told to nobody, and has to be verified anew', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    const patch = patching(auth, accessToken)
    const email = 'ann@example.org'
    expect(outcome(await patch({ email }))).toBe('403 confirmation.required')
    expect(outcome(await patch({ email, password: 'wrong password' }))).toBe('403 confirmation.failed')
    expect((await patch({ email, password: PASSWORD })).body).toMatchObject({ email, emailVerified: false })
    const [mail] = await eventually(() => (auth.mails.length > 0 ? auth.mails : undefined))
    expect(mail!.to).toBe(email)
    expect((await auth.login(email)).status).toBe(200)
    // What is as it was takes no proof, and changes nothing.
    await auth.database.auth.update(users).set({ emailVerifiedAt: new Date() }).where(eq(users.id, user.id))
    expect((await patch({ email, displayName: 'Ann' })).body.emailVerified).toBe(true)
    expect((await patch({ email: 'new@example.org', password: PASSWORD })).body.emailVerified).toBe(false)
    expect(outcome(await patch({ email: null }))).toBe('403 confirmation.required')
    expect((await patch({ email: null, password: PASSWORD })).body.email).toBeNull()
    expect((await auth.login(email)).status).toBe(401)
    expect(await auth.events('user.updated')).toHaveLength(1)
    expect(JSON.stringify(await auth.delivered())).not.toContain('@example.org')
  })

  test('that another account has is a 409, and few may be tried out', async () => {
    await using auth = await startAuth({ clock: testClock() })
    await auth.register({ username: 'bob', email: 'bob@example.org' })
    const { accessToken } = await auth.member('ann')
    const body = { email: 'BOB@example.org', password: PASSWORD }
    const told: string[] = []
    for (let attempt = 0; attempt < 11; attempt += 1) {
      const call = { token: accessToken, body, address: '192.0.2.7' }
      told.push(outcome(await auth.request<Problem>('PATCH', '/v1/users/@me', call)))
    }
    expect(told).toEqual([...Array(10).fill('409 user.emailTaken'), '429 email.throttled'])
  })
})

describe('a patch', () => {
  test('with what is not one’s to say is a 422 that names it, and changes nothing', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    const patch = patching(auth, accessToken)
    const assigned = [
      { username: 'new' },
      { standing: 'active' },
      { emailVerified: true },
      { emailVerifiedAt: '2026-01-01T00:00:00Z' },
      { isOwner: true },
      { kind: 'bot' },
      { roleIds: [] },
      { id: newId() },
      { nickname: 'x' },
      { status: { expiresAt: '2026-01-01T00:00:00Z' } },
    ]
    const wrong = [{ displayName: '' }, { email: 'nonsense' }, { avatarId: 'x' }, { status: { emoji: '' } }]
    for (const body of [...assigned, ...wrong]) {
      expect([body, outcome(await patch({ ...body }))]).toEqual([body, '422 request.invalid'])
    }
    const paths = async (body: unknown) => (await patch(body)).body.errors?.map(({ path }) => path)
    expect(await paths({ displayName: 'a\u202eb' })).toEqual(['/body/displayName'])
    expect(await paths({ displayName: 'x'.repeat(65) })).toEqual(['/body/displayName'])
    expect(await paths({ status: { text: 'a\u200bb' } })).toEqual(['/body/status/text'])
    expect(await paths({ status: { emoji: 'not one' } })).toEqual(['/body/status/emoji'])
    const { body } = await auth.request<OwnUser>('GET', '/v1/users/@me', { token: accessToken })
    expect(body).toEqual(user)
    expect(await auth.actions('user.updated')).toEqual([])
  })

  test('needs a login: no token is a 401, an API token a 403; who has left may', async () => {
    await using auth = await startAuth()
    const { accessToken, user } = await auth.member('ann')
    expect((await auth.request('PATCH', '/v1/users/@me', { body: { displayName: 'x' } })).status).toBe(401)
    expect((await auth.request('GET', '/v1/users/@me')).status).toBe(401)
    const { body: made } = await auth.request<{ token: string }>('POST', '/v1/auth/tokens', {
      token: accessToken,
      body: { name: 'a tool', scopes: ['channel.view'], password: PASSWORD },
    })
    expect(outcome(await patching(auth, made.token)({ displayName: 'x' }))).toBe('403 access.notForTokens')
    await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.id, user.id))
    await auth.bus.publish('authority.changed', JSON.stringify({ userId: user.id }))
    expect((await patching(auth, accessToken)({ displayName: 'x' })).body).toMatchObject({
      displayName: 'x',
      isMember: false,
    })
  })
})

test('members see each other’s public side, also of those who have left or are banned', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { body: bob } = await auth.register({ username: 'bob', email: 'bob@example.org' })
  const get = (id: string, token?: string) => auth.request<User & Problem>('GET', `/v1/users/${id}`, { token })
  for (const standing of ['active', 'left', 'banned'] as const) {
    await auth.database.auth.update(users).set({ standing }).where(eq(users.id, bob.user.id))
    const found = await get(bob.user.id, ann.accessToken)
    expect([found.status, found.body as User]).toEqual([200, publicSide(bob.user)])
  }
  expect(outcome(await get(newId(), ann.accessToken))).toBe('404 user.notFound')
  expect((await get('@you', ann.accessToken)).status).toBe(422)
  expect((await get(bob.user.id)).status).toBe(401)
})

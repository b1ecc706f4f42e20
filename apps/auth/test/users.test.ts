import { expect, test } from 'bun:test'
import type { OwnUser, Problem, User } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { publicSide, startAuth } from './stack.ts'

test('one changes one’s display name, and all are told', async () => {
  await using auth = await startAuth()
  const { accessToken, user } = await auth.member('ann')
  const patch = (body: unknown) =>
    auth.request<OwnUser & Problem>('PATCH', '/v1/users/@me', { token: accessToken, body })
  expect(await patch({ displayName: '  Ann B.  ' })).toMatchObject({
    status: 200,
    body: { ...user, displayName: 'Ann B.' },
  })
  expect(await auth.actions('user.updated')).toMatchObject([
    { actor: { id: user.id }, target: { kind: 'user', id: user.id }, data: { fields: ['displayName'] } },
  ])
  const shown = publicSide(user)
  expect(await auth.events('user.updated')).toMatchObject([
    { stream: 'server', data: { ...shown, displayName: 'Ann B.' } },
  ])
  expect((await patch({ displayName: null })).body.displayName).toBeNull()
  expect((await patch({ displayName: null })).status).toBe(200)
  expect(await auth.actions('user.updated')).toHaveLength(2)
})

test('one’s email address is told to nobody, and can be logged in with', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.member('ann')
  const patch = (body: unknown) =>
    auth.request<OwnUser & Problem>('PATCH', '/v1/users/@me', { token: accessToken, body })
  expect((await patch({ email: 'ann@example.org' })).body.email).toBe('ann@example.org')
  expect((await auth.login('ann@example.org')).status).toBe(200)
  expect((await patch({ email: null })).body.email).toBeNull()
  expect((await auth.login('ann@example.org')).status).toBe(401)
  expect(await auth.events('user.updated')).toHaveLength(0)
  expect(JSON.stringify(await auth.actions('user.updated'))).not.toContain('ann@example.org')
})

test('an email address that another account has is a 409', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'bob', email: 'bob@example.org' })
  const { accessToken } = await auth.member('ann')
  const { status, body } = await auth.request<Problem>('PATCH', '/v1/users/@me', {
    token: accessToken,
    body: { email: 'BOB@example.org' },
  })
  expect({ status, code: body.code }).toEqual({ status: 409, code: 'user.emailTaken' })
})

test('a patch that is not valid is a 422, without a token a 401', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.member('ann')
  for (const body of [{ displayName: '' }, { username: 'new' }, { email: 'nonsense' }]) {
    expect((await auth.request('PATCH', '/v1/users/@me', { token: accessToken, body })).status).toBe(422)
  }
  expect((await auth.request('PATCH', '/v1/users/@me', { body: { displayName: 'x' } })).status).toBe(401)
  expect((await auth.request('GET', '/v1/users/@me')).status).toBe(401)
})

test('members see each other’s public side, also of those who have left; deleted ones are a 404', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { body: bob } = await auth.register({ username: 'bob', email: 'bob@example.org' })
  const get = (id: string, token?: string) => auth.request<User & Problem>('GET', `/v1/users/${id}`, { token })
  const shown = publicSide(bob.user)
  const found = await get(bob.user.id, ann.accessToken)
  expect(found.status).toBe(200)
  expect(found.body as User).toEqual(shown)

  const stand = (standing: 'left' | 'deleted') =>
    auth.database.auth.update(users).set({ standing }).where(eq(users.id, bob.user.id))
  await stand('left')
  expect((await get(bob.user.id, ann.accessToken)).status).toBe(200)
  await stand('deleted')
  const notFound = { status: 404, body: { code: 'user.notFound' } }
  expect(await get(bob.user.id, ann.accessToken)).toMatchObject(notFound)
  expect(await get(newId(), ann.accessToken)).toMatchObject(notFound)
  expect((await get('@you', ann.accessToken)).status).toBe(422)
  expect((await get(bob.user.id)).status).toBe(401)
})

import { describe, expect, test } from 'bun:test'
import type { Authenticated, Problem, Role, User } from '@conntext/contracts'
import {
  apiTokens,
  credentials,
  identities,
  memberRoles,
  oidcProviders,
  passkeys,
  recoveryCodes,
  sessions,
  totpSecrets,
  users,
  validationTokens,
} from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { PASSWORD, startAuth } from './stack.ts'

type Auth = Awaited<ReturnType<typeof startAuth>>

const leave = (auth: Auth, token: string | undefined, body: object = { messages: 'keep', password: PASSWORD }) =>
  auth.request<Problem>('DELETE', '/v1/users/@me', { token, body })
const outcome = ({ status, body }: { status: number; body: Problem | undefined }) =>
  status < 300 ? `${status}` : `${status} ${body?.code}`

/** An account that has everything that an account can have. */
async function wellFurnished(auth: Auth, owner: Authenticated): Promise<{ ann: Authenticated; role: Role }> {
  const { body: ann } = await auth.register({ username: 'Ann', email: 'ann@example.org' })
  const userId = ann.user.id
  const role = await auth.role(owner, 'Friends')
  await auth.give(owner, userId, [role.id])
  const db = auth.database.auth
  const picture = newId()
  auth.pictures.owners.set(picture, userId)
  const profile = { displayName: 'Ann Body', avatarId: picture, status: { text: 'busy', emoji: '☕' } }
  await auth.request('PATCH', '/v1/users/@me', { token: ann.accessToken, body: profile })
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  const key = { secret: bytes, dataKeyId: newId() }
  await db.insert(totpSecrets).values({ userId, ...key })
  await db.insert(recoveryCodes).values({ userId, hash: bytes })
  const passkey = { credentialId: bytes, publicKey: bytes, counter: 0, transports: [], backedUp: false, name: 'a key' }
  await db.insert(passkeys).values({ id: newId(), userId, deviceType: 'singleDevice', ...passkey })
  await db
    .insert(oidcProviders)
    .values({ id: 'idp', name: 'IdP', issuer: 'https://idp.example', clientId: 'x', scopes: [] })
  await db.insert(identities).values({ id: newId(), userId, providerId: 'idp', subject: 'ann-there' })
  await db.update(users).set({ nickname: 'Annie', timedOutUntil: new Date() }).where(eq(users.id, userId))
  return { ann, role }
}

describe('leaving for good', () => {
  test('erases all but the id, and everybody is told', async () => {
    await using auth = await startAuth()
    const owner = await auth.owner()
    const { ann } = await wellFurnished(auth, owner)
    const userId = ann.user.id
    expect(outcome(await leave(auth, ann.accessToken, { messages: 'delete', password: PASSWORD }))).toBe('204')

    const db = auth.database.auth
    const [row] = await db.select().from(users).where(eq(users.id, userId))
    const { id, kind, createdBy, createdAt, joinedAt, ...rest } = row!
    expect(rest).toEqual({
      standing: 'deleted',
      username: 'deleted-user',
      usernameKey: `deleted:${userId}`,
      usernameSkeleton: `deleted:${userId}`,
      displayName: null,
      nickname: null,
      email: null,
      emailKey: null,
      emailVerifiedAt: null,
      avatarId: null,
      statusText: null,
      statusEmoji: null,
      statusExpiresAt: null,
      timedOutUntil: null,
    })
    for (const table of [
      credentials,
      totpSecrets,
      recoveryCodes,
      passkeys,
      identities,
      memberRoles,
      validationTokens,
    ]) {
      expect(await db.select().from(table).where(eq(table.userId, userId))).toEqual([])
    }
    const seen = await auth.request<User>('GET', `/v1/users/${userId}`, { token: owner.accessToken })
    expect(seen.body).toEqual({
      id: userId,
      kind: 'user',
      username: 'deleted-user',
      displayName: null,
      avatarId: null,
      status: null,
      isDeleted: true,
      createdAt: ann.user.createdAt,
    })
    expect(await auth.actions('user.deleted')).toMatchObject([
      { actor: { id: userId }, target: { kind: 'user', id: userId }, data: { messages: 'delete' } },
    ])
    expect(await auth.events('member.left')).toMatchObject([{ stream: 'server', data: { userId } }])
    expect((await auth.events('user.updated')).at(-1)).toMatchObject({ stream: 'server', data: seen.body })
    expect(auth.deletions).toEqual([{ operation: 'userDeleted', request: { userId, messages: 'delete' } }])
    const members = await auth.request<{ items: { user: User }[] }>('GET', '/v1/members', { token: owner.accessToken })
    expect(members.body.items.map(({ user }) => user.id)).toEqual([owner.user.id])
  })

  test('ends what they are logged in with, at once; nothing lets them in again, and their names are free', async () => {
    await using auth = await startAuth()
    const { body: ann } = await auth.register({ username: 'ann', email: 'ann@example.org' })
    const { body: other } = await auth.login('ann')
    const { body: token } = await auth.request<{ id: string; token: string }>('POST', '/v1/auth/tokens', {
      token: ann.accessToken,
      body: { name: 'a tool', scopes: ['channel.view'], password: PASSWORD },
    })
    await auth.request('POST', '/v1/auth/password/request-reset', { body: { login: 'ann@example.org' } })
    expect(outcome(await leave(auth, ann.accessToken))).toBe('204')
    for (const bearer of [ann.accessToken, other.accessToken, token.token]) {
      expect((await auth.request('GET', '/v1/users/@me', { token: bearer })).status).toBe(401)
    }
    expect(outcome(await leave(auth, ann.accessToken))).toBe('401 access.unauthenticated')
    for (const { refreshToken } of [ann, other]) expect((await auth.refresh(refreshToken)).status).toBe(401)
    for (const login of ['ann', 'ann@example.org', 'deleted-user']) expect((await auth.login(login)).status).toBe(401)
    const told = auth.published.map(({ payload }) => payload)
    for (const sessionId of [ann.session.id, other.session.id, token.id]) {
      expect(told).toContainEqual({ sessionId, userId: ann.user.id })
    }
    expect(told).toContainEqual({ userId: ann.user.id })
    const db = auth.database.auth
    expect((await db.select().from(sessions)).every(({ revokedAt }) => revokedAt !== null)).toBe(true)
    expect((await db.select().from(apiTokens)).every(({ revokedAt }) => revokedAt !== null)).toBe(true)
    const again = await auth.register({ username: 'Ann', email: 'ann@example.org' })
    expect(again.status).toBe(201)
    expect(again.body.user.id).not.toBe(ann.user.id)
  })

  test('takes their bots along, whose messages stay; nobody else’s', async () => {
    await using auth = await startAuth()
    const owner = await auth.owner()
    const ann = await auth.member('ann')
    const role = await auth.role(owner, 'Bot makers', ['bot.manage'])
    await auth.give(owner, ann.user.id, [role.id])
    const bot = async (by: Authenticated, username: string) =>
      (await auth.request<User>('POST', '/v1/bots', { token: by.accessToken, body: { username } })).body.id
    const [own, others] = [await bot(ann, 'helper'), await bot(owner, 'another')]
    expect(outcome(await leave(auth, ann.accessToken, { messages: 'delete', password: PASSWORD }))).toBe('204')
    await auth.delivered()
    expect(auth.deletions.map(({ request }) => request)).toEqual([
      { userId: ann.user.id, messages: 'delete' },
      { userId: own, messages: 'keep' },
    ])
    expect(await auth.actions('bot.deleted')).toMatchObject([{ actor: { id: ann.user.id }, target: { id: own } }])
    const isDeleted = async (id: string) =>
      (await auth.request<User>('GET', `/v1/users/${id}`, { token: owner.accessToken })).body.isDeleted
    expect([await isDeleted(own), await isDeleted(others)]).toEqual([true, false])
  })

  test('is not for the owner, nor without proof; and it is all or nothing', async () => {
    await using auth = await startAuth()
    const owner = await auth.owner()
    const ann = await auth.member('ann')
    expect(outcome(await leave(auth, owner.accessToken))).toBe('409 user.isOwner')
    expect(outcome(await leave(auth, ann.accessToken, { messages: 'keep' }))).toBe('403 confirmation.required')
    expect(outcome(await leave(auth, ann.accessToken, { messages: 'keep', password: 'wrong one' }))).toBe(
      '403 confirmation.failed',
    )
    for (const body of [
      {},
      { password: PASSWORD },
      { messages: 'burn', password: PASSWORD },
      { messages: 'keep', userId: owner.user.id },
    ]) {
      expect(outcome(await leave(auth, ann.accessToken, body))).toBe('422 request.invalid')
    }
    expect(outcome(await leave(auth, undefined))).toBe('401 access.unauthenticated')
    const body = { name: 'a tool', scopes: ['administrator'], password: PASSWORD }
    const { body: made } = await auth.request<{ token: string }>('POST', '/v1/auth/tokens', {
      token: owner.accessToken,
      body,
    })
    expect(outcome(await leave(auth, made.token))).toBe('403 access.notForTokens')
    expect((await auth.request('GET', '/v1/users/@me', { token: ann.accessToken })).status).toBe(200)
    expect(auth.deletions).toEqual([])
    expect(await auth.actions('user.deleted')).toEqual([])
  })

  test('who has left may delete what is left of them; of two tries at once one does it', async () => {
    await using auth = await startAuth()
    const ann = await auth.member('ann')
    await auth.database.auth.update(users).set({ standing: 'left' }).where(eq(users.id, ann.user.id))
    await auth.bus.publish('authority.changed', JSON.stringify({ userId: ann.user.id }))
    const outcomes = await Promise.all([leave(auth, ann.accessToken), leave(auth, ann.accessToken)])
    expect(outcomes.map(outcome).sort()[0]).toBe('204')
    expect(outcomes.map(outcome).filter((one) => one === '204')).toHaveLength(1)
    expect(await auth.events('member.left')).toEqual([])
    expect(await auth.actions('user.deleted')).toHaveLength(1)
    expect(auth.deletions).toHaveLength(1)
  })
})

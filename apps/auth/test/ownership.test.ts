import { expect, test } from 'bun:test'
import type { Problem } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { PASSWORD, startAuth } from './stack.ts'
import { apiToken, notBelowYou, ranked, refusal, type Stack, setServer, withMfa } from './support/authority.ts'

const transfer = (auth: Stack, token: string | undefined, id: string, body: object = { password: PASSWORD }) =>
  auth.request<Problem>('POST', `/v1/members/${id}/ownership`, { token, body })
const ownerId = async (auth: Stack) => (await auth.port.authority({})).ownerId
const notYours = refusal(403, 'ownership.notYours')

test('the owner hands the server over, which holds at once; they keep their roles, and no more', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const crew = await auth.role(owner, 'crew', ['invite.create'])
  await auth.give(owner, owner.user.id, [crew.id])
  const ann = await auth.member('ann')
  expect(await auth.service.guard.allows({ userId: owner.user.id }, 'administrator')).toBe(true)
  const { version } = await auth.port.authority({})

  expect(await transfer(auth, owner.accessToken, ann.user.id)).toMatchObject({ status: 204, text: '' })
  expect((await auth.port.authority({})).version).toBeGreaterThan(version)
  expect(await ownerId(auth)).toBe(ann.user.id)
  const allows = (userId: string, permission: 'administrator' | 'invite.create') =>
    auth.service.guard.allows({ userId }, permission)
  expect(await allows(ann.user.id, 'administrator')).toBe(true)
  expect(await allows(owner.user.id, 'administrator')).toBe(false)
  expect(await allows(owner.user.id, 'invite.create')).toBe(true)
  expect(await auth.actions('server.ownershipTransferred')).toMatchObject([
    { actor: { id: owner.user.id }, target: { id: ann.user.id }, data: { from: owner.user.id }, severity: 'warning' },
  ])
  // Now they can go, and be made to.
  const kick = (by: string, id: string) => auth.request<Problem>('POST', `/v1/members/${id}/kick`, { token: by })
  expect(await transfer(auth, owner.accessToken, owner.user.id)).toMatchObject(notYours)
  expect((await kick(owner.accessToken, ann.user.id)).status).toBe(403)
  expect((await kick(ann.accessToken, owner.user.id)).status).toBe(204)
  expect(await kick(ann.accessToken, ann.user.id)).toMatchObject(notBelowYou)
})

test('nobody else hands it over, whatever they may do, nor does an API token', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const admin = await ranked(auth, owner, 'admin', ['administrator'])
  expect(await transfer(auth, admin.accessToken, admin.id)).toMatchObject(notYours)
  const token = await apiToken(auth, owner, ['administrator'])
  expect(await transfer(auth, token, admin.id)).toMatchObject(refusal(403, 'access.notForTokens'))
  expect((await transfer(auth, undefined, admin.id)).status).toBe(401)
  expect(await auth.refusals('access.refused', 1)).toMatchObject([
    { actor: { id: admin.id }, target: { id: 'POST /v1/members/:id/ownership' }, data: { permission: 'owner' } },
  ])
  expect(await ownerId(auth)).toBe(owner.user.id)
})

test('it takes proof that it is still the owner', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { user } = await auth.member('ann')
  expect(await transfer(auth, owner.accessToken, user.id, {})).toMatchObject(refusal(403, 'confirmation.required'))
  expect(await transfer(auth, owner.accessToken, user.id, { password: 'wrong' })).toMatchObject(
    refusal(403, 'confirmation.failed'),
  )
  expect(await ownerId(auth)).toBe(owner.user.id)
  expect((await transfer(auth, owner.accessToken, user.id, { password: PASSWORD, to: user.id })).status).toBe(422)
})

test('only an active person becomes the owner, with a second factor where the server asks for one', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  const as = (id: string) => transfer(auth, owner.accessToken, id)
  const bot = { id: newId(), username: 'bot', usernameKey: 'bot', usernameSkeleton: 'bot', kind: 'bot' as const }
  await auth.database.auth.insert(users).values(bot)
  expect(await as(bot.id)).toMatchObject(refusal(409, 'ownership.botsOwnNothing'))
  expect(await as(owner.user.id)).toMatchObject(refusal(409, 'ownership.alreadyTheirs'))
  expect(await as(newId())).toMatchObject(refusal(404, 'member.notFound'))
  expect((await as('nonsense')).status).toBe(422)
  for (const standing of ['left', 'banned', 'deleted'] as const) {
    await auth.database.auth.update(users).set({ standing }).where(eq(users.id, bob.user.id))
    expect(await as(bob.user.id)).toMatchObject(refusal(404, 'member.notFound'))
  }
  await setServer(auth, { requireMfa: true })
  expect(await as(ann.user.id)).toMatchObject(refusal(409, 'ownership.mfaRequired'))
  await withMfa(auth, ann.user.id)
  expect(await as(ann.user.id)).toMatchObject({ status: 204 })
})

test('handed to two at once, it goes to one', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const heirs = [await auth.member('ann'), await auth.member('bob')]
  const answers = await Promise.all(heirs.map(({ user }) => transfer(auth, owner.accessToken, user.id)))
  expect(answers.map(({ status }) => status).sort()).toEqual([204, 403])
  const chosen = heirs[answers.findIndex(({ status }) => status === 204)]!
  expect(await ownerId(auth)).toBe(chosen.user.id)
  expect(await auth.actions('server.ownershipTransferred')).toHaveLength(1)
})

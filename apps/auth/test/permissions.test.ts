import { expect, test } from 'bun:test'
import {
  type Channel,
  type CreatedApiToken,
  type EffectivePermissions,
  everyoneDefaults,
  type Problem,
  permissionNames,
  subjects,
} from '@conntext/contracts'
import { channelOverrides, channels, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { PASSWORD, startAuth } from './stack.ts'

type Stack = Awaited<ReturnType<typeof startAuth>>

async function makeChannel(auth: Stack): Promise<Pick<Channel, 'id'>> {
  const id = newId()
  await auth.database.system.insert(channels).values({ id, name: id, nameKey: id, type: 'text', position: 0 })
  await auth.bus.publish(subjects.authority, '{}')
  return { id }
}

async function override(auth: Stack, values: typeof channelOverrides.$inferInsert): Promise<void> {
  await auth.database.system.insert(channelOverrides).values(values)
  await auth.bus.publish(subjects.authority, '{}')
}

const effective = (auth: Stack, token: string | undefined, query = '') =>
  auth.request<EffectivePermissions & Problem>('GET', `/v1/permissions/effective${query}`, { token })

test('the catalogue lists every permission', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.member('ann')
  const { status, body } = await auth.request<{ items: { name: string }[] }>('GET', '/v1/permissions', {
    token: accessToken,
  })
  expect(status).toBe(200)
  expect(body.items.map(({ name }) => name)).toEqual(permissionNames)
  expect((await auth.request('GET', '/v1/permissions')).status).toBe(401)
})

test('one asks what one may do, on the server and in a channel', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const channel = await makeChannel(auth)
  await override(auth, {
    channelId: channel.id,
    targetKind: 'member',
    targetId: ann.user.id,
    allow: ['message.pin'],
    deny: ['message.send'],
  })
  expect(await effective(auth, ann.accessToken)).toMatchObject({
    status: 200,
    body: { userId: ann.user.id, channelId: null, permissions: everyoneDefaults },
  })
  const { body } = await effective(auth, ann.accessToken, `?channelId=${channel.id}`)
  expect(body.channelId).toBe(channel.id)
  expect(body.permissions).toContain('message.pin')
  expect(body.permissions).not.toContain('message.send')
  expect((await effective(auth, undefined)).status).toBe(401)
  expect((await effective(auth, ann.accessToken, '?channelId=x')).status).toBe(422)
  expect((await effective(auth, ann.accessToken, '?more=1')).status).toBe(422)
})

test('about others only those who manage roles may ask', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  expect(await effective(auth, owner.accessToken, `?userId=${ann.user.id}`)).toMatchObject({
    status: 200,
    body: { userId: ann.user.id, permissions: everyoneDefaults },
  })
  expect((await effective(auth, owner.accessToken)).body.permissions).toEqual(permissionNames)
  expect(await effective(auth, ann.accessToken, `?userId=${owner.user.id}`)).toMatchObject({
    status: 403,
    body: { code: 'access.forbidden' },
  })
  expect(await effective(auth, owner.accessToken, `?userId=${newId()}`)).toMatchObject({
    status: 404,
    body: { code: 'member.notFound' },
  })
  expect(await auth.refusals('access.refused', 1)).toMatchObject([{ actor: { id: ann.user.id } }])
})

test('a channel that one may not see is the same 404 as one that is not there', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const channel = await makeChannel(auth)
  await override(auth, {
    channelId: channel.id,
    targetKind: 'member',
    targetId: ann.user.id,
    allow: [],
    deny: ['channel.view'],
  })
  const hidden = await effective(auth, ann.accessToken, `?channelId=${channel.id}`)
  const missing = await effective(auth, ann.accessToken, `?channelId=${newId()}`)
  expect(hidden).toMatchObject({ status: 404, body: { code: 'channel.notFound' } })
  expect({ ...hidden.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' })
})

test('each permission comes with what decided it', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const channel = await makeChannel(auth)
  const role = await auth.role(owner, 'Pinners', ['message.pin', 'member.kick'])
  await auth.give(owner, ann.user.id, [role.id])
  await override(auth, {
    channelId: channel.id,
    targetKind: 'member',
    targetId: ann.user.id,
    allow: [],
    deny: ['message.pin'],
  })
  const by = async (token: string, permission: string, query = '') =>
    (await effective(auth, token, query)).body.decisions.find((one) => one.permission === permission)
  const { body } = await effective(auth, ann.accessToken)
  expect(body.decisions.map((one) => one.permission)).toEqual(permissionNames)
  expect(body.decisions.filter((one) => one.allowed).map((one) => one.permission)).toEqual(body.permissions)
  const inChannel = `?channelId=${channel.id}`
  expect(await by(ann.accessToken, 'member.kick', inChannel)).toEqual({
    permission: 'member.kick',
    allowed: true,
    by: { kind: 'role', roleIds: [role.id] },
  })
  expect(await by(ann.accessToken, 'message.pin', inChannel)).toEqual({
    permission: 'message.pin',
    allowed: false,
    by: {
      kind: 'override',
      channelId: channel.id,
      targetKind: 'member',
      targetIds: [ann.user.id],
      effect: 'deny',
    },
  })
  expect(await by(owner.accessToken, 'message.pin', inChannel)).toMatchObject({ allowed: true, by: { kind: 'owner' } })
  expect(await by(owner.accessToken, 'role.manage', `?userId=${ann.user.id}`)).toMatchObject({
    allowed: false,
    by: { kind: 'notGranted' },
  })
})

test('who is hidden from by a channel, is timed out, or is gone is told so to who manages roles', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const channel = await makeChannel(auth)
  const sent = async (query: string) =>
    (await effective(auth, owner.accessToken, query)).body.decisions.find((one) => one.permission === 'message.send')
  const deny = { targetKind: 'member' as const, targetId: ann.user.id, allow: [], deny: ['channel.view'] }
  await override(auth, { channelId: channel.id, ...deny })
  expect(await sent(`?userId=${ann.user.id}&channelId=${channel.id}`)).toMatchObject({
    allowed: false,
    by: { kind: 'hidden', by: { kind: 'override', effect: 'deny' } },
  })
  const set = async (values: Partial<typeof users.$inferInsert>) => {
    await auth.database.auth.update(users).set(values).where(eq(users.id, ann.user.id))
    await auth.bus.publish(subjects.authority, JSON.stringify({ userId: ann.user.id }))
  }
  const timedOutUntil = new Date(Date.now() + 60_000)
  await set({ timedOutUntil })
  expect((await sent(`?userId=${ann.user.id}`))?.by).toEqual({ kind: 'timeout', until: timedOutUntil.toISOString() })
  await set({ standing: 'banned' })
  expect((await sent(`?userId=${ann.user.id}`))?.by).toEqual({ kind: 'standing', standing: 'banned' })
  await set({ standing: 'deleted' })
  expect(await effective(auth, owner.accessToken, `?userId=${ann.user.id}`)).toMatchObject({
    status: 404,
    body: { code: 'member.notFound' },
  })
})

test('with an API token one asks what one may do with that token', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const made = await auth.request<CreatedApiToken & Problem>('POST', '/v1/auth/tokens', {
    token: owner.accessToken,
    body: { name: 'asks', scopes: ['message.send'], password: PASSWORD },
  })
  expect(made.status).toBe(201)
  const { body } = await effective(auth, made.body.token)
  expect(body.permissions).toEqual(['message.send'])
  expect(body.decisions.find((one) => one.permission === 'role.manage')).toMatchObject({
    allowed: false,
    by: { kind: 'scope' },
  })
  expect((await effective(auth, made.body.token, `?userId=${ann.user.id}`)).status).toBe(403)
})

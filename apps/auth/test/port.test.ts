import { expect, test } from 'bun:test'
import { authPort, type Grant } from '@conntext/contracts'
import { channelOverrides, channels, serverSettings, users } from '@conntext/db-server-details'
import { callPort } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { startAuth, testClock } from './stack.ts'

test('the snapshot holds what the routes and system have made', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const role = await auth.role(owner, 'crew', ['invite.create'])
  const gone = await auth.role(owner, 'gone')
  const { system } = auth.database
  const before = await auth.port.authority({})
  expect(before.server).toMatchObject({ name: 'ConnText', registrationMode: 'invite' })

  const createdAt = new Date('2026-01-02T03:04:05.678Z')
  await system.insert(serverSettings).values({
    id: 1,
    name: 'Ours',
    description: 'A place',
    registrationMode: 'open',
    maxMessageLength: 10,
    maxFileBytes: 20,
    maxMediaPerMessage: 3,
    createdAt,
    version: 40,
  })
  const category = { id: newId(), name: 'All', nameKey: 'all', type: 'category' as const, position: 0, createdAt }
  const channel = {
    id: newId(),
    name: 'general',
    nameKey: 'general',
    type: 'text' as const,
    parentId: category.id,
    topic: 'Anything',
    position: 1,
    createdAt,
  }
  await system.insert(channels).values([category, channel])
  const overrides = [role.id, gone.id].map((targetId) => ({
    channelId: channel.id,
    targetKind: 'role' as const,
    targetId,
    allow: ['message.pin', 'a permission of a later version'],
    deny: [],
  }))
  await system.insert(channelOverrides).values(overrides)
  await auth.request('DELETE', `/v1/roles/${gone.id}`, { token: owner.accessToken })

  const { body } = await auth.request<{ items: unknown[] }>('GET', '/v1/roles', { token: owner.accessToken })
  const snapshot = await auth.port.authority({})
  const shown = ({ nameKey: _, ...rest }: typeof category | typeof channel) => ({
    parentId: null,
    topic: null,
    slowModeSeconds: 0,
    messageRetentionDays: null,
    userLimit: null,
    audioBitrate: null,
    videoLimit: null,
    ...rest,
    createdAt: createdAt.toISOString(),
  })
  expect(snapshot).toEqual({
    version: before.version + 41,
    ownerId: owner.user.id,
    server: {
      name: 'Ours',
      description: 'A place',
      iconId: null,
      registrationMode: 'open',
      requireMfa: false,
      requireModerationReason: false,
      systemChannelId: null,
      messageRetentionDays: null,
      callRetentionDays: null,
      limits: { maxMessageLength: 10, maxFileBytes: 20, maxMediaPerMessage: 3 },
      maintenance: null,
      createdAt: createdAt.toISOString(),
    },
    roles: body.items as never,
    channels: [shown(category), shown(channel)] as never,
    overrides: [{ ...overrides[0]!, allow: ['message.pin'], deny: [] }],
  })
})

test('grants tell roles and standing; for an id that nobody has there is none', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const ann = await auth.member('ann')
  const role = await auth.role(owner, 'crew')
  await auth.give(owner, ann.user.id, [role.id])
  const until = new Date('2030-01-01T00:00:00.000Z')
  await auth.database.auth
    .update(users)
    .set({ standing: 'banned', timedOutUntil: until })
    .where(eq(users.id, ann.user.id))
  const grant: Grant = {
    userId: ann.user.id,
    kind: 'user',
    standing: 'banned',
    timedOutUntil: until.toISOString(),
    mfa: false,
    roleIds: [role.id],
  }
  expect(await auth.port.grant({ userId: ann.user.id })).toEqual(grant)
  expect(await auth.port.grant({ userId: newId() })).toBeNull()
  const many = await auth.port.grants({ userIds: [ann.user.id, newId(), owner.user.id] })
  expect(many.toSorted((a, b) => a.userId.localeCompare(b.userId))).toMatchObject([
    { userId: owner.user.id, standing: 'active', roleIds: [] },
    grant,
  ])
  expect(await auth.port.grants({ userIds: [] })).toEqual([])
})

test('an own user is who they are, and null for nobody', async () => {
  await using auth = await startAuth()
  const { user } = await auth.owner()
  expect(await auth.port.ownUser({ userId: user.id })).toEqual(user)
  expect(await auth.port.ownUser({ userId: newId() })).toBeNull()
})

test('user names are found in any case, but for those of accounts that are gone', async () => {
  await using auth = await startAuth()
  const [ann, gone] = [await auth.member('Ann'), await auth.member('gone')]
  await auth.database.auth.update(users).set({ standing: 'deleted' }).where(eq(users.id, gone.user.id))
  const find = (...usernames: string[]) => auth.port.findUsers({ usernames })
  expect(await find('aNN', 'gone', 'nobody', 'a\0', "' or 1=1 --")).toEqual([{ id: ann.user.id, username: 'Ann' }])
  expect(await find()).toEqual([])
})

test('health tries the database, and says what to do when it is away', async () => {
  await using auth = await startAuth()
  expect(await auth.port.health({})).toMatchObject({
    service: 'auth',
    state: 'up',
    dependencies: [
      { name: 'postgres', state: 'up' },
      { name: 'outbox', state: 'up' },
      { name: 'bus', state: 'up' },
      { name: 'clock', state: 'up' },
    ],
  })
  const { check } = auth.database.auth
  auth.database.auth.check = async () => {
    throw new Error('connection refused')
  }
  const { state, dependencies } = await auth.port.health({})
  auth.database.auth.check = check
  expect(state).toBe('down')
  expect(dependencies[0]).toMatchObject({ state: 'down', detail: 'connection refused' })
  expect(dependencies[0]!.remedy).not.toBeNull()
})

test('what system has not taken for a minute makes auth degraded, not down', async () => {
  const clock = testClock()
  await using away = await startAuth({ clock })
  const refusing = async () => {
    throw new Error('away')
  }
  await using auth = await startAuth({ clock, system: { ...away.options.system, ingestAudit: refusing } })
  await auth.member('ann')
  expect((await auth.port.health({})).state).toBe('up')
  clock.advance(120_000)
  const { state, dependencies } = await auth.port.health({})
  expect(state).toBe('degraded')
  expect(dependencies[1]).toMatchObject({ name: 'outbox', state: 'degraded' })
})

test('the port is for those who know the credential', async () => {
  await using auth = await startAuth()
  const stranger = callPort(authPort, {
    transport: (request) => auth.service.port.handle(request),
    credential: 'guess',
  })
  await expect(stranger.keys({})).rejects.toMatchObject({ code: 'dependency.away', status: 503 })
})

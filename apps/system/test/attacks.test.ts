import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { auditCategoryNames, type Channel, type Permission } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let admin: Caller
let hidden: Channel
let open: Channel

const ALL_OF_A_CHANNEL: Permission[] = ['channel.manage', 'message.manage', 'message.pin']

beforeAll(async () => {
  system = await startSystem()
  admin = await system.member('administrator')
  hidden = await system.channel(admin)
  open = await system.channel(admin)
  system.authority.snapshot.overrides.push({
    channelId: hidden.id,
    targetKind: 'role',
    targetId: everyone(),
    allow: [],
    deny: ['channel.view'],
  })
  await system.authority.changed()
})
afterAll(() => system[Symbol.asyncDispose]())

const everyone = () => system.authority.snapshot.roles.find((role) => role.isEveryone)!.id
const sides = { allow: [], deny: [] }
const forEver = Object.fromEntries(auditCategoryNames.map((name) => [name, null]))

type Ask = { method: string; route: string; body?: object }

const CHANNEL = '/v1/channels/:channelId'
const OVERRIDE = `${CHANNEL}/overrides/:targetId`
const at = (route: string, channelId: string) => route.replace(':channelId', channelId).replace(':targetId', everyone())

/** Everything that is asked of one channel. */
const asks: Ask[] = [
  { method: 'GET', route: CHANNEL },
  { method: 'PATCH', route: CHANNEL, body: { name: 'mine now' } },
  { method: 'DELETE', route: CHANNEL },
  { method: 'GET', route: `${CHANNEL}/overrides` },
  { method: 'GET', route: OVERRIDE },
  { method: 'PUT', route: OVERRIDE, body: sides },
  { method: 'DELETE', route: OVERRIDE },
]

const served = () =>
  system.service.app.routes.map(({ method, path, hooks }) => ({
    name: `${method} ${path}`,
    takesBody: (hooks as { body?: unknown }).body !== undefined,
  }))

describe("other people's channels", () => {
  test('every route under a channel is tried here', () => {
    const names = served().map(({ name }) => name)
    expect(names.filter((name) => name.includes(':channelId')).sort()).toEqual(
      asks.map(({ method, route }) => `${method} ${route}`).sort(),
    )
  })

  test.each(asks)('$method $route answers for a hidden one what it does for none', async ({ method, route, body }) => {
    const manager = await system.member(...ALL_OF_A_CHANNEL)
    const ask = async (id: string) => {
      const { status, body: answer } = await system.call(method, at(route, id), manager, body, { 'x-request-id': 'r' })
      return { status, answer }
    }
    const missing = await ask(newId())
    expect(missing).toMatchObject({ status: 404, answer: { code: 'channel.notFound' } })
    expect(await ask(hidden.id)).toEqual(missing)
  })

  test.each(asks)('$method $route is closed to a token that sees no channels', async ({ method, route, body }) => {
    const { userId } = admin!
    const { token } = system.authority.apiToken(userId, ['channel.manage'])
    expect(await system.call(method, at(route, open.id), { userId, token }, body)).toMatchObject({ status: 404 })
  })

  test('cannot be taken into the category of others, nor be named as a parent', async () => {
    const category = await system.channel(admin, { type: 'category' })
    system.authority.snapshot.overrides.push({
      channelId: category.id,
      targetKind: 'role',
      targetId: everyone(),
      allow: [],
      deny: ['channel.view'],
    })
    await system.authority.changed()
    const manager = await system.member('channel.manage')
    const answers = await Promise.all(
      [category.id, newId()].flatMap((parentId) => [
        system.call('PATCH', `/v1/channels/${open.id}`, manager, { parentId }, { 'x-request-id': 'r' }),
        system.call(
          'POST',
          '/v1/channels',
          manager,
          { name: newId(), type: 'text', parentId },
          { 'x-request-id': 'r' },
        ),
      ]),
    )
    const bodies = answers.map((answer) => answer.body)
    expect(bodies[0]).toMatchObject({ status: 422, code: 'channel.badParent' })
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1)
  })
})

describe('fields that are not for the sender', () => {
  const bodies: (Ask & { fields: string[] })[] = [
    {
      method: 'PATCH',
      route: '/v1/server',
      body: { name: 'x' },
      fields: ['id', 'version', 'createdAt', 'ownerId', 'maxMessageLength'],
    },
    {
      method: 'POST',
      route: '/v1/channels',
      body: { name: 'x', type: 'text' },
      fields: ['id', 'position', 'createdAt', 'nameKey'],
    },
    {
      method: 'PATCH',
      route: CHANNEL,
      body: { name: 'x' },
      fields: ['id', 'type', 'createdAt', 'nameKey', 'overrides'],
    },
    { method: 'PUT', route: OVERRIDE, body: sides, fields: ['channelId', 'targetId', 'targetKind'] },
    {
      method: 'POST',
      route: '/v1/invites',
      body: {},
      fields: ['id', 'code', 'codeHash', 'creatorId', 'uses', 'revokedAt', 'expiresAt'],
    },
    {
      method: 'POST',
      route: '/v1/audit/query',
      body: { sql: 'SELECT 1' },
      fields: ['params', 'settings', 'readonly', 'database', 'format', 'maxRows'],
    },
    { method: 'POST', route: '/v1/audit/verify', body: {}, fields: ['id', 'state', 'requestedBy', 'findings'] },
    { method: 'PUT', route: '/v1/audit/retention', body: forEver, fields: ['categories', 'minimumDays', 'logs'] },
    {
      method: 'PUT',
      route: '/v1/system/maintenance',
      body: { enabled: false },
      fields: ['since', 'by', 'actorId'],
    },
    { method: 'POST', route: '/v1/system/backups', body: {}, fields: ['id', 'state', 'name', 'path', 'askedBy'] },
    {
      method: 'PATCH',
      route: '/v1/logs/settings',
      body: { retentionDays: 30 },
      fields: ['told', 'actorId', 'since', 'service'],
    },
  ]

  test('every body that is taken is tried here', () => {
    const taking = served().filter(({ takesBody }) => takesBody)
    expect(taking.map(({ name }) => name).sort()).toEqual(
      bodies.map(({ method, route }) => `${method} ${route}`).sort(),
    )
  })

  test.each(bodies)('$method $route takes none', async ({ method, route, body, fields }) => {
    for (const field of [...fields, '__proto__', 'constructor']) {
      // As text: in an object of ours, `__proto__` would be no field.
      const text = JSON.stringify({ ...body, '~': 'x' }).replace('~', field)
      const response = await system.service.app.handle(
        new Request(`http://localhost${at(route, open.id)}`, {
          method,
          headers: { authorization: `Bearer ${admin!.token}`, 'content-type': 'application/json' },
          body: text,
        }),
      )
      expect([field, response.status]).toEqual([field, 422])
    }
    expect(await system.call('GET', at(CHANNEL, open.id), admin)).toMatchObject({ body: { name: open.name } })
    expect(await system.call('GET', '/v1/server')).toMatchObject({ body: { name: 'ConnText' } })
  })
})

describe("other people's invites", () => {
  test('cannot be revoked, listed or told from none', async () => {
    const [one, other] = [await system.member('invite.create'), await system.member('invite.create')]
    const { id } = (await system.call('POST', '/v1/invites', one, {})).body as { id: string }
    const remove = (target: string) =>
      system.call('DELETE', `/v1/invites/${target}`, other, undefined, { 'x-request-id': 'r' })
    const theirs = await remove(id)
    expect(theirs).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
    expect(theirs.body).toEqual((await remove(newId())).body)
    expect(await system.call('GET', '/v1/invites', other)).toMatchObject({ body: { items: [] } })
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Channel, Invite, Page, Permission } from '@conntext/contracts'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
beforeAll(async () => {
  system = await startSystem()
})
afterAll(() => system[Symbol.asyncDispose]())

/** Somebody, as whoever has an API token of theirs that is for these. */
function byToken({ userId }: NonNullable<Caller>, ...scopes: Permission[]) {
  const { token, tokenId } = system.authority.apiToken(userId, scopes)
  return { userId, sessionId: tokenId, token }
}

test("invites are codes that let people in: an API token sees and ends its owner's where it is for invites", async () => {
  const inviter = await system.member('invite.create')
  const { id } = (await system.call('POST', '/v1/invites', inviter, {})).body as Invite
  const list = async (caller: Caller) => await system.call('GET', '/v1/invites', caller)
  for (const scopes of [['channel.view'], ['role.manage', 'member.ban']] as const) {
    const other = byToken(inviter, ...scopes)
    expect(await list(other)).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
    expect((await system.call('DELETE', `/v1/invites/${id}`, other)).status).toBe(403)
    expect((await system.call('POST', '/v1/invites', other, {})).status).toBe(403)
  }
  const inviting = byToken(inviter, 'invite.create')
  expect(((await list(inviting)).body as Page<Invite>).items.map((one) => one.id)).toEqual([id])
  expect((await system.call('DELETE', `/v1/invites/${id}`, inviting)).status).toBe(204)
})

test('an API token invites with a role only where it is for roles as well', async () => {
  const owner = await system.authority.member({ owner: true })
  const { snapshot } = system.authority
  const roleId = snapshot.roles.find((role) => !role.isEveryone)!.id
  const invite = async (...scopes: Permission[]) =>
    (await system.call('POST', '/v1/invites', byToken(owner, ...scopes), { roleId })).status
  expect(await invite('invite.create')).toBe(403)
  expect(await invite('administrator')).toBe(201)
})

test('an API token lists the channels that it is for seeing, and allows in them no more than it could do', async () => {
  const owner = await system.authority.member({ owner: true })
  const channel = await system.channel(owner)
  const list = async (...scopes: Permission[]) =>
    ((await system.call('GET', '/v1/channels', byToken(owner, ...scopes))).body as Page<Channel>).items.length
  expect(await list('message.send')).toBe(0)
  expect(await list('channel.view')).toBeGreaterThan(0)
  const everyone = system.authority.snapshot.roles.find((role) => role.isEveryone)!.id
  const path = `/v1/channels/${channel.id}/overrides/${everyone}`
  const allow = async (names: Permission[], ...scopes: Permission[]) =>
    (await system.call('PUT', path, byToken(owner, ...scopes), { allow: names, deny: [] })).status
  expect(await allow(['message.manage'], 'channel.view', 'channel.manage', 'role.manage')).toBe(403)
  expect(await allow(['message.manage'], 'administrator')).toBe(200)
})

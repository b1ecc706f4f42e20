import { describe, expect, test } from 'bun:test'
import { Authority, type DecisionReason, type Grant, type Permission } from '../src/index.ts'
import { hidden, member, override, world } from './support/example.ts'
import { EVERYONE, NOW } from './support/world.ts'

describe('an explanation', () => {
  const [everyone, a] = world().roles
  const reason = (authority: Authority, grant: Grant, permission: Permission, place?: string) =>
    authority.explain(grant, place, NOW).find((one) => one.permission === permission)

  test('names the roles that grant it, and that nobody does', () => {
    const authority = new Authority(world())
    expect(reason(authority, member(), 'message.send')).toEqual({
      permission: 'message.send',
      allowed: true,
      by: { kind: 'role', roleIds: [EVERYONE] },
    })
    expect(reason(authority, member({ roleIds: ['role-a'] }), 'member.kick')?.by).toEqual({
      kind: 'role',
      roleIds: ['role-a'],
    })
    expect(reason(authority, member(), 'member.kick')).toMatchObject({ allowed: false, by: { kind: 'notGranted' } })
  })

  test("names the last override that spoke, also the category's", () => {
    const overrides = [
      override('category-1', EVERYONE, { deny: ['message.send', 'reaction.add'] }),
      override('channel-1', 'role-a', { allow: ['message.send'] }),
      override('channel-1', 'member-2', { deny: ['message.send'] }),
    ]
    const authority = new Authority(world({ overrides }))
    const by = (userId: string, permission: Permission) =>
      reason(authority, member({ userId, roleIds: ['role-a'] }), permission, 'channel-1')?.by
    const said = { kind: 'override', channelId: 'channel-1' }
    expect(by('member-1', 'message.send')).toEqual({
      ...said,
      targetKind: 'role',
      targetIds: ['role-a'],
      effect: 'allow',
    } as DecisionReason)
    expect(by('member-2', 'message.send')).toMatchObject({ ...said, targetKind: 'member', effect: 'deny' })
    expect(by('member-1', 'reaction.add')).toMatchObject({ channelId: 'category-1', targetIds: [EVERYONE] })
  })

  test('of a hidden channel tells what hides it', () => {
    const authority = new Authority(world({ overrides: [hidden] }))
    const by = { kind: 'override', channelId: 'channel-1', targetKind: 'role', targetIds: [EVERYONE], effect: 'deny' }
    expect(reason(authority, member(), 'channel.view', 'channel-1')?.by).toEqual(by as DecisionReason)
    expect(reason(authority, member(), 'message.send', 'channel-1')?.by).toEqual({
      kind: 'hidden',
      by,
    } as DecisionReason)
  })

  test('tells of a missing second factor, a time-out, a standing, a scope', () => {
    const roles = [everyone!, { ...a!, permissions: ['member.kick' as const], requireMfa: true }]
    const authority = new Authority(world({ roles }))
    const until = new Date(NOW + 1).toISOString()
    expect(reason(authority, member({ roleIds: ['role-a'] }), 'member.kick')?.by).toEqual({
      kind: 'mfa',
      roleIds: ['role-a'],
    })
    expect(reason(authority, member({ timedOutUntil: until }), 'message.send')?.by).toEqual({ kind: 'timeout', until })
    // What they don't have anyway, no time-out takes.
    expect(reason(authority, member({ timedOutUntil: until }), 'member.ban')?.by).toEqual({ kind: 'notGranted' })
    expect(reason(authority, member({ standing: 'banned' }), 'message.send')?.by).toEqual({
      kind: 'standing',
      standing: 'banned',
    })
    expect(reason(authority, member({ scopes: [] }), 'message.send')?.by).toEqual({ kind: 'scope' })
  })
})

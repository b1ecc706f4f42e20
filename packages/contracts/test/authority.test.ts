import { describe, expect, test } from 'bun:test'
import { Authority, type Grant, permissionNames } from '../src/index.ts'
import { hidden, member, override, world } from './support/example.ts'
import { EVERYONE, NOW } from './support/world.ts'

describe('a rank', () => {
  const authority = new Authority(world({ ownerId: 'owner' }))

  test('is that of the highest role, @everyone the lowest, and the owner above all', () => {
    const rank = (change: Partial<Grant>) => authority.rank(member(change), 'counting')
    expect([rank({}), rank({ roleIds: ['role-a'] }), rank({ roleIds: ['role-gone'] })]).toEqual([0, 1, 0])
    expect(rank({ userId: 'owner' })).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('the owner', () => {
  const owned = new Authority(world({ ownerId: 'member-1', overrides: [hidden] }))

  test('may do everything, whatever overrides and time-outs say', () => {
    expect(owned.effective(member(), 'channel-1', NOW)).toEqual(permissionNames)
    expect(owned.effective(member({ timedOutUntil: '2999-01-01T00:00:00.000Z' }))).toEqual(permissionNames)
  })

  test('may do nothing in a channel that is not there, and nothing once gone', () => {
    expect(owned.effective(member(), 'channel-gone')).toEqual([])
    expect(owned.effective(member({ standing: 'deleted' }))).toEqual([])
  })
})

describe('an administrator', () => {
  const [everyone, a] = world().roles
  const authority = new Authority(
    world({
      roles: [everyone!, { ...a!, permissions: ['administrator'] }],
      overrides: [hidden, override('channel-1', 'member-1', { deny: ['message.send'] })],
    }),
  )

  test('is beyond overrides, of the member too', () => {
    expect(authority.effective(member({ roleIds: ['role-a'] }), 'channel-1')).toEqual(permissionNames)
  })

  test('is nobody special when banned', () => {
    expect(authority.effective(member({ roleIds: ['role-a'], standing: 'banned' }), 'channel-1')).toEqual([])
  })

  test('is not made by an override', () => {
    const granting = override('channel-1', 'member-1', { allow: ['administrator'] })
    expect(new Authority(world({ overrides: [hidden, granting] })).effective(member(), 'channel-1')).toEqual([])
  })
})

describe('a timed-out member', () => {
  const authority = new Authority(world())
  const until = (time: number) => member({ timedOutUntil: new Date(time).toISOString() })

  test('may look but not act, until the time has come', () => {
    expect(authority.effective(until(NOW + 1), 'channel-1', NOW)).toEqual(['channel.view', 'message.history'])
    expect(authority.effective(until(NOW), 'channel-1', NOW)).toContain('message.send')
  })
})

test('whoever cannot see a channel can do nothing in it, whatever else is allowed', () => {
  const writing = override('channel-1', 'member-1', { allow: ['message.send'] })
  const authority = new Authority(world({ overrides: [hidden, writing] }))
  expect(authority.effective(member(), 'channel-1')).toEqual([])
  expect(authority.effective(member(), 'category-1')).toContain('message.send')
})

test('a role that is no longer there gives nothing, by overrides neither', () => {
  const overrides = [hidden, override('channel-1', 'role-gone', { allow: ['channel.view'] })]
  const authority = new Authority(world({ overrides }))
  const left = member({ roleIds: ['role-gone'] })
  expect(authority.effective(left)).toEqual(authority.effective(member()))
  expect(authority.effective(left, 'channel-1')).toEqual([])
})

describe('a role that asks for a second factor', () => {
  const [everyone, a] = world().roles
  const roles = [everyone!, { ...a!, permissions: ['member.kick' as const], requireMfa: true }]
  const overrides = [hidden, override('channel-1', 'role-a', { allow: ['channel.view'] })]
  const authority = new Authority(world({ roles, overrides }))
  const moderator = (change: Partial<Grant>) => member({ roleIds: ['role-a'], ...change })

  test('is nothing to who has none, in channels neither, and makes them nobody to reckon with', () => {
    expect(authority.allows(moderator({}), 'member.kick')).toBe(false)
    expect(authority.allows(moderator({}), 'channel.view', 'channel-1')).toBe(false)
    expect([authority.rank(moderator({}), 'counting'), authority.rank(moderator({}), 'all')]).toEqual([0, 1])
  })

  test('counts for who has one, and for bots', () => {
    for (const one of [moderator({ mfa: true }), moderator({ kind: 'bot' })]) {
      expect(authority.allows(one, 'member.kick')).toBe(true)
      expect(authority.allows(one, 'channel.view', 'channel-1')).toBe(true)
      expect(authority.rank(one, 'counting')).toBe(1)
    }
  })
})

describe('a server that asks for second factors', () => {
  const strict = new Authority(world({ ownerId: 'owner', server: { ...world().server, requireMfa: true } }))

  test('lets nobody do anything without, but for its owner and bots', () => {
    expect(strict.effective(member())).toEqual([])
    expect(strict.effective(member({ mfa: true }))).not.toEqual([])
    expect(strict.effective(member({ kind: 'bot' }))).not.toEqual([])
    expect(strict.effective(member({ userId: 'owner' }))).toEqual(permissionNames)
    expect([member(), member({ userId: 'owner' })].map((one) => strict.lacksMfa(one))).toEqual([true, false])
  })
})

describe('an API token', () => {
  const authority = new Authority(world({ ownerId: 'owner' }))

  test('lets through what is within its scopes, of what its bearer may', () => {
    const scopes = ['message.send', 'member.ban'] as const
    expect(authority.effective(member({ scopes }))).toEqual(['message.send'])
    expect(authority.effective(member({ userId: 'owner', scopes }))).toEqual(['member.ban', 'message.send'])
    expect(authority.effective(member({ scopes: [] }))).toEqual([])
  })

  test('for everything lets through all that its bearer may, and no more', () => {
    expect(authority.effective(member({ scopes: ['administrator'] }))).toEqual(authority.effective(member()))
  })
})

describe('an audience', () => {
  test('is one for all channels without overrides, and for those whose overrides leave the view alone', () => {
    const authority = new Authority(world({ overrides: [override('channel-1', EVERYONE, { deny: ['message.send'] })] }))
    expect(authority.audience('channel-1')).toBe(authority.audience('category-1'))
  })

  test('does not depend on the order in which overrides were set', () => {
    const list = [hidden, override('channel-1', 'role-a', { allow: ['channel.view'] })]
    const keys = [list, list.toReversed()].map((overrides) => new Authority(world({ overrides })).audience('channel-1'))
    expect(keys[0]).toBe(keys[1]!)
  })

  test('is everybody where an override is left over from a role that is gone', () => {
    const overrides = [override('channel-1', 'role-gone', { deny: ['channel.view'] })]
    expect(new Authority(world({ overrides })).isPublic('channel-1')).toBe(true)
  })

  test('of a channel that is not there is nobody: not everybody, and not that of another one', () => {
    const authority = new Authority(world())
    const keys = ['channel-1', 'channel-gone', 'channel-gone-too'].map((id) => authority.audience(id))
    expect(new Set(keys).size).toBe(3)
    expect(authority.isPublic('channel-gone')).toBe(false)
  })
})

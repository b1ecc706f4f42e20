import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Authority, type AuthoritySnapshot, type Grant, permissionNames } from '../src/index.ts'
import { mayDo } from './support/discord.ts'
import { channelIds, EVERYONE, grants, NOW, places, snapshots } from './support/world.ts'

const run = { seed: 20_260_601, numRuns: 25_000 }

describe('the evaluator', () => {
  test("says what Discord's rules say, for any roles, overrides, categories and members", () => {
    const seen = { all: 0, some: 0, none: 0 }
    fc.assert(
      fc.property(snapshots, grants, places, (world, member, place) => {
        const expected = mayDo(world, member, place, NOW)
        const found = new Authority(world).effective(member, place, NOW)
        // Bun's deep comparison costs more than both evaluations.
        if (found.join() !== expected.join()) expect(found).toEqual(expected)
        seen[found.length === permissionNames.length ? 'all' : found.length === 0 ? 'none' : 'some'] += 1
      }),
      run,
    )
    // The worlds are worth asking about: none of the three answers is a rarity.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(run.numRuns / 20)
  })

  test('answers single questions as it answers all at once', () => {
    fc.assert(
      fc.property(snapshots, grants, places, (world, member, place) => {
        const authority = new Authority(world)
        const all = authority.effective(member, place, NOW)
        expect(permissionNames.filter((name) => authority.allows(member, name, place, NOW))).toEqual(all)
      }),
      { ...run, numRuns: 1000 },
    )
  })
})

const member = (change: Partial<Grant> = {}): Grant => ({
  userId: 'member-1',
  kind: 'user',
  mfa: false,
  standing: 'active',
  timedOutUntil: null,
  roleIds: [],
  ...change,
})

/** A world of one's own: what @everyone and role-a have, and a channel in a category. */
function world(change: Partial<AuthoritySnapshot> = {}): AuthoritySnapshot {
  const [sample] = fc.sample(snapshots, { seed: 1, numRuns: 1 })
  const [everyone, a] = sample!.roles
  const [category] = sample!.channels
  return {
    ...sample!,
    ownerId: null,
    roles: [
      { ...everyone!, permissions: ['channel.view', 'message.history', 'message.send'] },
      { ...a!, permissions: ['member.kick'] },
    ],
    channels: [category!, { ...category!, id: 'channel-1', type: 'text', parentId: category!.id }],
    overrides: [],
    ...change,
  }
}
const override = (channelId: string, targetId: string, change: { allow?: string[]; deny?: string[] }) =>
  ({
    channelId,
    targetKind: targetId.startsWith('role') ? 'role' : 'member',
    targetId,
    allow: [],
    deny: [],
    ...change,
  }) as AuthoritySnapshot['overrides'][number]
const hidden = override('channel-1', EVERYONE, { deny: ['channel.view'] })

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

test('a role that is no longer there gives nothing', () => {
  expect(new Authority(world()).effective(member({ roleIds: ['role-gone'] }))).toEqual(
    new Authority(world()).effective(member()),
  )
})

describe('an audience', () => {
  test('with the same key is the same people', () => {
    let shared = 0
    fc.assert(
      fc.property(snapshots, fc.array(grants, { minLength: 1, maxLength: 6 }), (world, members) => {
        const authority = new Authority(world)
        const seers = new Map<string, string>()
        for (const id of channelIds) {
          const key = authority.audience(id)
          const who = members.map((one) => authority.allows(one, 'channel.view', id, NOW)).join()
          if (seers.has(key)) shared += 1
          if ((seers.get(key) ?? who) !== who) throw new Error(`${id} has the key '${key}' of another audience`)
          seers.set(key, who)
        }
      }),
      { ...run, numRuns: 10_000 },
    )
    expect(shared).toBeGreaterThan(10_000)
  })

  test('is one for all channels without overrides, and for those whose overrides leave the view alone', () => {
    const authority = new Authority(world({ overrides: [override('channel-1', EVERYONE, { deny: ['message.send'] })] }))
    expect(authority.audience('channel-1')).toBe(authority.audience('category-1'))
  })

  test('does not depend on the order in which overrides were set', () => {
    const list = [hidden, override('channel-1', 'role-a', { allow: ['channel.view'] })]
    const keys = [list, list.toReversed()].map((overrides) => new Authority(world({ overrides })).audience('channel-1'))
    expect(keys[0]).toBe(keys[1]!)
  })

  test('of a channel that is not there is nobody: not everybody, and not that of another one', () => {
    const authority = new Authority(world())
    const keys = ['channel-1', 'channel-gone', 'channel-gone-too'].map((id) => authority.audience(id))
    expect(new Set(keys).size).toBe(3)
    expect(authority.isPublic('channel-gone')).toBe(false)
  })
})

test('a public channel is seen by every member in good standing', () => {
  const seen = { public: 0, private: 0 }
  fc.assert(
    fc.property(snapshots, grants, (world, one) => {
      const authority = new Authority(world)
      for (const id of channelIds) {
        const open = authority.isPublic(id)
        seen[open ? 'public' : 'private'] += 1
        if (open && one.standing === 'active' && !authority.allows(one, 'channel.view', id, NOW)) {
          throw new Error(`${id} is public, and ${one.userId} does not see it`)
        }
      }
    }),
    { ...run, numRuns: 5000 },
  )
  expect(Math.min(seen.public, seen.private)).toBeGreaterThan(1000)
})

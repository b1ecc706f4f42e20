import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  Authority,
  type AuthoritySnapshot,
  type Grant,
  type Override,
  type Permission,
  type PermissionDecision,
  permissionNames,
} from '../src/index.ts'
import { mayDo } from './support/discord.ts'
import { channelIds, grants, NOW, places, snapshots } from './support/world.ts'

// A new one each time, so that every run looks at other worlds; told in the names below, to look at the same again.
const seed = Number(process.env.CONNTEXT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
const run = { seed, numRuns: 100_000, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: true }

describe(`the evaluator, with CONNTEXT_TEST_SEED=${seed},`, () => {
  test(`says what Discord's rules say, for ${run.numRuns} sets of roles, overrides and members`, () => {
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
  }, 30_000)

  test('answers single questions, and explains itself, as it answers all at once', () => {
    const kinds = new Map<string, number>()
    fc.assert(
      fc.property(snapshots, grants, places, (world, member, place) => {
        const authority = new Authority(world)
        const all = authority.effective(member, place, NOW)
        const single = permissionNames.filter((name) => authority.allows(member, name, place, NOW))
        const decisions = authority.explain(member, place, NOW)
        const allowed = decisions.filter((one) => one.allowed).map((one) => one.permission)
        expect([single.join(), allowed.join()]).toEqual([all.join(), all.join()])
        expect(decisions.map((one) => one.permission).join()).toBe(permissionNames.join())
        for (const decision of decisions) {
          assertReason(world, member, decision)
          kinds.set(decision.by.kind, (kinds.get(decision.by.kind) ?? 0) + 1)
        }
      }),
      { ...run, numRuns: 10_000 },
    )
    expect([...kinds.keys()].sort()).toEqual([...Object.keys(allows), 'notGranted', 'hidden'].sort())
    for (const count of kinds.values()) expect(count).toBeGreaterThan(500)
  })

  test('names as what decided an override that, turned round, decides otherwise', () => {
    let changed = 0
    fc.assert(
      fc.property(snapshots, grants, fc.constantFrom(...channelIds), (world, grant, place) => {
        // What comes after the overrides would keep it from showing.
        const member = { ...grant, timedOutUntil: null, scopes: null }
        for (const { permission, allowed, by } of new Authority(world).explain(member, place, NOW)) {
          if (by.kind !== 'override') continue
          const overrides = world.overrides.map((one) => {
            const isIt = one.channelId === by.channelId && by.targetIds.includes(one.targetId)
            return isIt ? turned(one, permission, by.effect) : one
          })
          const other = new Authority({ ...world, overrides })
          if (other.allows(member, permission, place, NOW) === allowed) {
            throw new Error(`${permission} is ${allowed} in ${place}, whatever ${JSON.stringify(by)} says`)
          }
          changed += 1
        }
      }),
      { ...run, numRuns: 5_000 },
    )
    expect(changed).toBeGreaterThan(1_000)
  })
})

/** For the kinds that say by themselves what comes of them. */
const allows: Record<string, boolean | undefined> = {
  owner: true,
  administrator: true,
  role: true,
  override: undefined,
  mfa: false,
  standing: false,
  timeout: false,
  scope: false,
}

function assertReason(world: AuthoritySnapshot, member: Grant, { permission, allowed, by }: PermissionDecision): void {
  const fault = (what: string) => new Error(`${permission}, ${allowed}, by ${JSON.stringify(by)}: ${what}`)
  if (by.kind === 'override' ? allowed !== (by.effect === 'allow') : allowed !== (allows[by.kind] ?? false)) {
    throw fault('contradicts itself')
  }
  if (by.kind === 'administrator' || by.kind === 'role' || by.kind === 'mfa') {
    const wanted = by.kind === 'administrator' ? 'administrator' : permission
    const named = world.roles.filter((role) => by.roleIds.includes(role.id))
    const giving = named.filter(
      ({ permissions }) => permissions.includes(wanted) || permissions.includes('administrator'),
    )
    if (giving.length !== by.roleIds.length) throw fault('the roles do not grant it')
    if (named.some(({ id, isEveryone }) => !isEveryone && !member.roleIds.includes(id))) throw fault('not their roles')
    if (by.kind === 'mfa' && named.some((role) => !role.requireMfa)) throw fault('the roles ask for no second factor')
  }
}

const turned = (one: Override, permission: Permission, effect: 'allow' | 'deny'): Override => ({
  ...one,
  allow: effect === 'deny' ? [...one.allow, permission] : one.allow.filter((name) => name !== permission),
  deny: effect === 'allow' ? [...one.deny, permission] : one.deny.filter((name) => name !== permission),
})

test('an audience with the same key is the same people', () => {
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

test('a public channel is seen by every member in good standing', () => {
  const seen = { public: 0, private: 0 }
  fc.assert(
    fc.property(snapshots, grants, (world, one) => {
      const authority = new Authority(world)
      for (const id of channelIds) {
        const open = authority.isPublic(id)
        seen[open ? 'public' : 'private'] += 1
        const isHere = one.standing === 'active' && !authority.lacksMfa(one)
        const looksInPerson = { ...one, scopes: null }
        if (open && isHere && !authority.allows(looksInPerson, 'channel.view', id, NOW)) {
          throw new Error(`${id} is public, and ${one.userId} does not see it`)
        }
      }
    }),
    { ...run, numRuns: 5000 },
  )
  expect(Math.min(seen.public, seen.private)).toBeGreaterThan(1000)
})

import fc from 'fast-check'
import {
  type AuthoritySnapshot,
  type Channel,
  channelPermissions,
  type Grant,
  type Override,
  type Permission,
  permissionNames,
  type Role,
} from '../../src/index.ts'

/** The time at which the generated worlds are looked at. */
export const NOW = Date.parse('2026-06-01T12:00:00.000Z')
const LATER = '2026-06-01T12:00:01.000Z'
const RIGHT_NOW = '2026-06-01T12:00:00.000Z'
const EARLIER = '2026-06-01T11:59:59.000Z'
const MADE = '2026-01-01T00:00:00.000Z'

// Few of each, so that roles, overrides and members meet; readable, so that a counterexample is.
const ROLES = ['role-a', 'role-b', 'role-c']
const CATEGORIES = ['category-1', 'category-2']
const CHANNELS = ['channel-1', 'channel-2', 'channel-3', 'channel-4']
const MEMBERS = ['member-1', 'member-2', 'member-3', 'member-4']
export const EVERYONE = 'role-everyone'
const GONE = 'role-gone'

/** Every other of them: each a bit of one number, which is made far faster than a list is. */
const someOf = <T>(values: readonly T[]): fc.Arbitrary<T[]> =>
  fc.nat(2 ** values.length - 1).map((bits) => values.filter((_, i) => (bits >> i) & 1))

const inChannel = someOf(channelPermissions)

// An administrator ends every question at once: rare enough to leave something to ask.
const rolePermissions = fc
  .tuple(someOf(permissionNames.filter((name) => name !== 'administrator')), fc.nat(9))
  .map(([names, dice]): Permission[] => (dice === 0 ? ['administrator', ...names] : names))

// A role asks for a second factor one time in four.
const mfaDice = fc.tuple(...ROLES.map(() => fc.nat(3)))

const role = (id: string, permissions: Permission[], position: number, requireMfa = false): Role => ({
  id,
  name: id,
  colour: null,
  position,
  permissions,
  requireMfa,
  isEveryone: id === EVERYONE,
  createdAt: MADE,
})

const channel = (id: string, type: Channel['type'], parentId: string | null, position: number): Channel => ({
  id,
  name: id,
  type,
  parentId,
  topic: null,
  slowModeSeconds: 0,
  messageRetentionDays: null,
  userLimit: null,
  audioBitrate: null,
  videoLimit: null,
  position,
  createdAt: MADE,
})

const override = fc.record({
  channelId: fc.constantFrom(...CATEGORIES, ...CHANNELS),
  target: fc.constantFrom(
    ...[EVERYONE, ...ROLES, GONE].map((targetId) => ({ targetKind: 'role' as const, targetId })),
    ...MEMBERS.map((targetId) => ({ targetKind: 'member' as const, targetId })),
  ),
  allow: inChannel,
  deny: inChannel,
})

/** A server: roles, categories, channels and overrides; sometimes with an owner, sometimes asking for second factors. */
export const snapshots: fc.Arbitrary<AuthoritySnapshot> = fc
  .record({
    everyone: rolePermissions,
    roles: fc.tuple(rolePermissions, rolePermissions, rolePermissions),
    parents: fc.array(fc.constantFrom(null, ...CATEGORIES), { minLength: CHANNELS.length, maxLength: CHANNELS.length }),
    overrides: fc.uniqueArray(override, {
      maxLength: 12,
      selector: ({ channelId, target }) => `${channelId} ${target.targetId}`,
    }),
    ownerId: fc.option(fc.constantFrom(...MEMBERS), { freq: 3 }),
    mfaDice,
    serverDice: fc.nat(5),
  })
  .map(({ everyone, roles, parents, overrides, ownerId, mfaDice, serverDice }) => ({
    version: 1,
    ownerId,
    server: {
      name: 'A',
      description: null,
      iconId: null,
      registrationMode: 'open',
      requireMfa: serverDice === 0,
      requireModerationReason: false,
      systemChannelId: null,
      messageRetentionDays: null,
      callRetentionDays: null,
      limits: { maxMessageLength: 1, maxFileBytes: 1, maxMediaPerMessage: 1 },
      maintenance: null,
      createdAt: MADE,
    },
    roles: [
      role(EVERYONE, everyone, 0),
      ...roles.map((permissions, i) => role(ROLES[i]!, permissions, i + 1, mfaDice[i] === 0)),
    ],
    channels: [
      ...CATEGORIES.map((id, i) => channel(id, 'category', null, i)),
      ...CHANNELS.map((id, i) => channel(id, 'text', parents[i]!, i)),
    ],
    overrides: overrides.map(({ target, ...rest }): Override => ({ ...rest, ...target })),
  }))

const scopes = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(null, undefined) },
  { weight: 1, arbitrary: rolePermissions },
)

/**
 * A member of it, a person or a bot; also with a role that is gone, banned, timed out until now, before or after, or
 * with an API token.
 */
export const grants: fc.Arbitrary<Grant> = fc
  .record({
    userId: fc.constantFrom(...MEMBERS),
    kind: fc.constantFrom('user', 'bot'),
    standing: fc.constantFrom('active', 'active', 'active', 'active', 'active', 'active', 'banned', 'left', 'deleted'),
    timedOutUntil: fc.constantFrom(null, null, null, null, EARLIER, RIGHT_NOW, LATER),
    mfa: fc.boolean(),
    roleIds: someOf([...ROLES, GONE]),
    scopes,
  })
  .map(({ scopes, ...grant }) => (scopes === undefined ? grant : { ...grant, scopes }))

/** Where something is asked: nowhere in particular, somewhere, or in a channel that isn't there. */
export const places = fc.constantFrom(undefined, ...CATEGORIES, ...CHANNELS, ...CHANNELS, 'channel-gone')

export const channelIds = [...CATEGORIES, ...CHANNELS]

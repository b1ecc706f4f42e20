import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Timestamp } from './api/common.ts'
import { PermissionName, Role } from './api/identity.ts'
import { Channel, ServerInfo } from './api/server.ts'
import { type Permission, permissionNames } from './permissions.ts'

export const Override = Fields({
  channelId: Id,
  targetKind: Enumeration(['role', 'member']),
  targetId: Id,
  allow: Type.Array(PermissionName),
  deny: Type.Array(PermissionName),
})
export type Override = Static<typeof Override>

/** Everything that decides who may do what, but for the members themselves. `version` rises with every change. */
export const AuthoritySnapshot = Fields({
  version: Type.Integer({ minimum: 0 }),
  ownerId: Nullable(Id),
  server: ServerInfo,
  roles: Type.Array(Role),
  channels: Type.Array(Channel),
  overrides: Type.Array(Override),
})
export type AuthoritySnapshot = Static<typeof AuthoritySnapshot>

/** What a member brings: their roles (without @everyone, which all have) and their standing. */
export const Grant = Fields({
  userId: Id,
  kind: Enumeration(['user', 'bot']),
  standing: Enumeration(['active', 'banned', 'left', 'deleted']),
  timedOutUntil: Nullable(Timestamp),
  /** Whether they have a second factor. */
  mfa: Type.Boolean(),
  roleIds: Type.Array(Id),
})
/** `scopes`: all that an API token may be used for, whatever its bearer may do. */
export type Grant = Static<typeof Grant> & { scopes?: readonly Permission[] | null }

const bit = new Map<string, bigint>(permissionNames.map((name, index) => [name, 1n << BigInt(index)]))
const ALL = (1n << BigInt(permissionNames.length)) - 1n
const ADMINISTRATOR = bit.get('administrator')!
const VIEW = bit.get('channel.view')!
// What a timed-out member keeps: looking, not acting.
const READING = VIEW | bit.get('message.history')!

const mask = (names: readonly string[]): bigint => names.reduce((all, name) => all | (bit.get(name) ?? 0n), 0n)

// An API token made for everything may do whatever its bearer may.
function scopeMask(scopes: readonly Permission[] | null | undefined): bigint {
  if (!scopes) return ALL
  const bits = mask(scopes)
  return (bits & ADMINISTRATOR) !== 0n ? ALL : bits
}

type Indexed = {
  base: Map<string, bigint>
  everyoneId: string
  overrides: Map<string, { role: Map<string, Bits>; member: Map<string, Bits> }>
  parents: Map<string, string | null>
  mfaRoles: Set<string>
}
type Bits = { allow: bigint; deny: bigint }

function index(snapshot: AuthoritySnapshot): Indexed {
  const overrides: Indexed['overrides'] = new Map()
  for (const override of snapshot.overrides) {
    const entry = overrides.get(override.channelId) ?? { role: new Map(), member: new Map() }
    entry[override.targetKind].set(override.targetId, { allow: mask(override.allow), deny: mask(override.deny) })
    overrides.set(override.channelId, entry)
  }
  return {
    base: new Map(snapshot.roles.map((role) => [role.id, mask(role.permissions)])),
    everyoneId: snapshot.roles.find((role) => role.isEveryone)?.id ?? '',
    overrides,
    parents: new Map(snapshot.channels.map((channel) => [channel.id, channel.parentId])),
    mfaRoles: new Set(snapshot.roles.filter((role) => role.requireMfa).map((role) => role.id)),
  }
}

/**
 * The permission evaluator over one snapshot: a pure function of snapshot, grant and time. The order is Discord's
 * (https://discord.com/developers/docs/topics/permissions): the owner has everything; the roles' permissions are OR'd
 * with @everyone's; ADMINISTRATOR ends it; then, for a channel, the overrides of its category and then its own, each in
 * the order @everyone, roles (all denies, then all allows), member. Who cannot see a channel can do nothing in it.
 */
export class Authority {
  readonly #indexed: Indexed

  constructor(readonly snapshot: AuthoritySnapshot) {
    this.#indexed = index(snapshot)
  }

  /** Whether the member may do it; without a channel, by their roles alone. */
  allows(grant: Grant, permission: Permission, channelId?: string, now = Date.now()): boolean {
    return (this.#bits(grant, channelId, now) & bit.get(permission)!) !== 0n
  }

  /** All that the member may do, in the catalogue's order. */
  effective(grant: Grant, channelId?: string, now = Date.now()): Permission[] {
    const bits = this.#bits(grant, channelId, now)
    return permissionNames.filter((name) => (bits & bit.get(name)!) !== 0n)
  }

  /**
   * How high the member stands: the position of their highest role that counts, 0 with none but @everyone; the owner
   * stands above all roles.
   */
  rank(grant: Grant): number {
    if (grant.userId === this.snapshot.ownerId) return Number.POSITIVE_INFINITY
    const counting = new Set(this.#countingRoles(grant))
    return Math.max(0, ...this.snapshot.roles.filter((role) => counting.has(role.id)).map((role) => role.position))
  }

  hasChannel(channelId: string): boolean {
    return this.#indexed.parents.has(channelId)
  }

  /**
   * Which people may see a channel, as a key: channels with the same key are seen by the same members, whoever those
   * are. It is made of exactly what can change the `channel.view` bit, so 500 channels without overrides share one. A
   * channel that isn't there has a key of its own: nobody may see it.
   */
  audience(channelId: string): string {
    if (!this.hasChannel(channelId)) return `nobody:${channelId}`
    const levels = this.#chain(channelId).map((id) => {
      const entry = this.#indexed.overrides.get(id)
      if (!entry) return ''
      const list = (kind: 'role' | 'member') =>
        [...entry[kind]]
          .filter(([, bits]) => ((bits.allow | bits.deny) & VIEW) !== 0n)
          .map(([id, bits]) => `${kind[0]}${id}${(bits.allow & VIEW) !== 0n ? '+' : '-'}`)
      return [...list('role'), ...list('member')].sort().join(',')
    })
    return levels.filter((level) => level !== '').join('>')
  }

  /** Whether every active member may see the channel: then news of it may go into the server stream. */
  isPublic(channelId: string): boolean {
    const everyone = (this.#indexed.base.get(this.#indexed.everyoneId) ?? 0n) & VIEW
    return everyone !== 0n && this.audience(channelId) === ''
  }

  #bits(grant: Grant, channelId: string | undefined, now: number): bigint {
    if (grant.standing !== 'active') return 0n
    if (channelId !== undefined && !this.hasChannel(channelId)) return 0n
    return this.#unscoped(grant, channelId, now) & scopeMask(grant.scopes)
  }

  /** Whether the server asks for a second factor that this member doesn't have: then they may do nothing else here. */
  lacksMfa(grant: Grant): boolean {
    const { ownerId, server } = this.snapshot
    return server.requireMfa && grant.kind === 'user' && !grant.mfa && grant.userId !== ownerId
  }

  #unscoped(grant: Grant, channelId: string | undefined, now: number): bigint {
    if (grant.userId === this.snapshot.ownerId) return ALL
    if (this.lacksMfa(grant)) return 0n
    const { base, everyoneId } = this.#indexed
    const roleIds = this.#countingRoles(grant)
    let bits = roleIds.reduce((all, id) => all | (base.get(id) ?? 0n), base.get(everyoneId) ?? 0n)
    if ((bits & ADMINISTRATOR) !== 0n) return ALL
    if (channelId !== undefined) {
      for (const level of this.#chain(channelId)) bits = this.#override(bits, { userId: grant.userId, roleIds }, level)
      if ((bits & VIEW) === 0n) return 0n
    }
    const silenced = grant.timedOutUntil !== null && Date.parse(grant.timedOutUntil) > now
    return silenced ? bits & READING : bits
  }

  #override(bits: bigint, grant: Pick<Grant, 'userId' | 'roleIds'>, channelId: string): bigint {
    const entry = this.#indexed.overrides.get(channelId)
    if (!entry) return bits
    const apply = (current: bigint, { allow, deny }: Bits) => (current & ~deny) | allow
    const everyone = entry.role.get(this.#indexed.everyoneId)
    let result = everyone ? apply(bits, everyone) : bits
    const roles = grant.roleIds.flatMap((id) => entry.role.get(id) ?? [])
    const merged = roles.reduce((all, one) => ({ allow: all.allow | one.allow, deny: all.deny | one.deny }), {
      allow: 0n,
      deny: 0n,
    })
    result = apply(result, merged)
    const member = entry.member.get(grant.userId)
    return member ? apply(result, member) : result
  }

  // A role that asks for a second factor is nothing, in overrides as well, to who has none.
  #countingRoles(grant: Grant): string[] {
    if (grant.mfa || grant.kind === 'bot') return grant.roleIds
    return grant.roleIds.filter((id) => !this.#indexed.mfaRoles.has(id))
  }

  /** The channel's category, where it has one, then the channel. */
  #chain(channelId: string): string[] {
    const parent = this.#indexed.parents.get(channelId)
    return parent ? [parent, channelId] : [channelId]
  }
}

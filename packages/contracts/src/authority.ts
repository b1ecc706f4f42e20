import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Timestamp } from './api/common.ts'
import { PermissionName, Role } from './api/identity.ts'
import type { PermissionDecision } from './api/permissions.ts'
import { Channel, ServerInfo } from './api/server.ts'
import { bitOf, namesOf, PARTICIPATING, READING, scopeMask, VIEW } from './authority/bits.ts'
import {
  evaluate,
  type Holding,
  hold,
  type Indexed,
  indexSnapshot,
  isTimedOut,
  lacksMfa,
  type Question,
  type Target,
} from './authority/evaluate.ts'
import { Trace } from './authority/trace.ts'
import type { Permission } from './permissions.ts'

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

/**
 * The permission evaluator over one snapshot: a pure function of snapshot, grant and time. The order is Discord's
 * (https://discord.com/developers/docs/topics/permissions), with what is our own around it:
 *
 * 1. Who is not a member may do nothing. The owner may do everything. Who lacks the second factor that the server asks
 *    for may do nothing.
 * 2. The permissions of @everyone and of the member's roles add up; a role that asks for a second factor is nothing,
 *    here and in overrides, to who has none. `administrator` is everything, and ends it.
 * 3. For a channel: the overrides of its category, then its own. In each @everyone's, then those of the member's roles
 *    (all denies, then all allows), then the member's. Who cannot see a channel can do nothing in it.
 * 4. Who is timed out may look, and do nothing else.
 * 5. An API token lets through what is within its scopes.
 *
 * A grant must not be changed once it has been asked about: what follows from it is remembered.
 */
export class Authority {
  readonly #indexed: Indexed
  readonly #holdings = new WeakMap<Grant, Holding>()

  constructor(readonly snapshot: AuthoritySnapshot) {
    this.#indexed = indexSnapshot(snapshot)
  }

  /** Whether the member may do it; without a channel, by their roles alone. */
  allows(grant: Grant, permission: Permission, channelId?: string, now = Date.now()): boolean {
    return (evaluate(this.#indexed, this.#question(grant, channelId, now)) & bitOf(permission)) !== 0n
  }

  /**
   * Whether a participant of a conversation may do it there. Roles and overrides say nothing of it; standing, second
   * factor, timeout and scopes do.
   */
  allowsParticipant(grant: Grant, permission: Permission, now = Date.now()): boolean {
    if (grant.standing !== 'active' || this.lacksMfa(grant)) return false
    const bits = (isTimedOut(grant, now) ? PARTICIPATING & READING : PARTICIPATING) & scopeMask(grant.scopes)
    return (bits & bitOf(permission)) !== 0n
  }

  /** All that the member may do, in the catalogue's order. */
  effective(grant: Grant, channelId?: string, now = Date.now()): Permission[] {
    return namesOf(evaluate(this.#indexed, this.#question(grant, channelId, now)))
  }

  /** For every permission whether the member has it, and what decided it. */
  explain(grant: Grant, channelId?: string, now = Date.now()): PermissionDecision[] {
    const trace = new Trace()
    return trace.decisions(evaluate(this.#indexed, this.#question(grant, channelId, now), trace))
  }

  hasChannel(channelId: string): boolean {
    return this.#indexed.channels.has(channelId)
  }

  /**
   * Which people may see a channel, as a key: channels with the same key are seen by the same members, whoever those
   * are. It is made of exactly what can change the `channel.view` bit, so 500 channels without overrides share one. A
   * channel that isn't there has a key of its own: nobody may see it.
   */
  audience(channelId: string): string {
    const levels = this.#indexed.channels.get(channelId)
    if (!levels) return `nobody:${channelId}`
    const list = (kind: 'role' | 'member', targets: Iterable<Target>) =>
      [...targets]
        .filter(([, bits]) => ((bits.allow | bits.deny) & VIEW) !== 0n)
        .map(([id, bits]) => `${kind[0]}${id}${(bits.allow & VIEW) !== 0n ? '+' : '-'}`)
    return levels
      .map(({ everyone, roles, members }) => [
        ...list('role', everyone),
        ...list('role', roles),
        ...list('member', members.values()),
      ])
      .map((targets) => targets.sort().join(','))
      .filter((level) => level !== '')
      .join('>')
  }

  /** Whether every active member may see the channel: then news of it may go into the server stream. */
  isPublic(channelId: string): boolean {
    const { roles, everyoneId } = this.#indexed
    const everyone = (roles.get(everyoneId)?.bits ?? 0n) & VIEW
    return everyone !== 0n && this.audience(channelId) === ''
  }

  /** Whether the server asks for a second factor that this member doesn't have: then they may do nothing else here. */
  lacksMfa(grant: Grant): boolean {
    return lacksMfa(this.#indexed, grant)
  }

  /**
   * How high somebody stands: the position of their highest role, 0 with none, and the owner above all. Whoever acts
   * does so by the roles that `counting` for them now; whoever is acted upon is protected by `all` that they have.
   */
  rank(grant: Grant, roles: 'counting' | 'all'): number {
    if (grant.userId === this.#indexed.ownerId) return Number.POSITIVE_INFINITY
    const ids = roles === 'all' ? grant.roleIds : this.#holding(grant).roleIds
    return Math.max(0, ...[...ids].map((id) => this.#indexed.roles.get(id)?.position ?? 0))
  }

  #question(grant: Grant, channelId: string | undefined, now: number): Question {
    return { grant, channelId, now, holding: () => this.#holding(grant) }
  }

  #holding(grant: Grant): Holding {
    let holding = this.#holdings.get(grant)
    if (!holding) {
      holding = hold(this.#indexed, grant)
      this.#holdings.set(grant, holding)
    }
    return holding
  }
}

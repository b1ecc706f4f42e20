import type { Authority, Grant, NewChannelOverride, Override, Permission } from '@conntext/contracts'
import { accessErrors, type Caller } from '@conntext/http'
import { overrideErrors } from './errors.ts'
import type { ChannelDeps } from './service.ts'

/** What stands on an override's two sides. */
type Sides = NewChannelOverride

/** Somebody who sets a channel's overrides, and how far they may go. */
export type Setter = {
  own: ReadonlySet<Permission>
  rank: number
  /** Records that they wanted to go further. */
  refused(permission: Permission): void
}

/** For whom an override is, and how high they stand. */
export type Target = { kind: Override['targetKind']; id: string; rank: number }

const NOTHING: Sides = { allow: [], deny: [] }

type Place = { channelId: string | undefined; route: string }

/**
 * Within the change, whose turn may have come long after the request: what was decided about the caller meanwhile counts.
 * `channelId`: where their permissions are looked at; undefined for a channel that isn't there yet.
 * @throws access.forbidden (403)
 */
export async function setterOf(deps: ChannelDeps, caller: Caller, { channelId, route }: Place): Promise<Setter> {
  const { guard, clock, refused } = deps
  const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(caller)])
  const own = new Set(grant ? authority.effective(grant, channelId, clock.now().getTime()) : [])
  if (!grant || !own.has('channel.manage')) {
    refused(caller, 'channel.manage', route)
    throw accessErrors.forbidden('This needs the permission channel.manage.')
  }
  return {
    own,
    rank: authority.rank(grant, 'counting'),
    refused: (permission) => refused(caller, permission, route),
  }
}

/** Within the change, as `setterOf`. @throws override.noSuchTarget (404) */
export async function targetOf({ guard }: ChannelDeps, id: string): Promise<Target> {
  const authority = await guard.authority()
  const target = roleTarget(authority, id) ?? memberTarget(authority, await guard.grant(id))
  if (!target) throw overrideErrors.noSuchTarget()
  return target
}

/** As `targetOf`, for an override that is there already: its role or member may be gone, and then outranks nobody. */
export async function targetOfExisting({ guard }: ChannelDeps, { targetKind, targetId }: Override): Promise<Target> {
  const authority = await guard.authority()
  const found =
    targetKind === 'role' ? roleTarget(authority, targetId) : memberTarget(authority, await guard.grant(targetId))
  return found ?? { kind: targetKind, id: targetId, rank: Number.NEGATIVE_INFINITY }
}

function roleTarget({ snapshot }: Authority, id: string): Target | undefined {
  const role = snapshot.roles.find((one) => one.id === id)
  return role && { kind: 'role', id, rank: role.position }
}

function memberTarget(authority: Authority, grant: Grant | null): Target | undefined {
  if (!grant || grant.standing === 'deleted') return undefined
  return { kind: 'member', id: grant.userId, rank: authority.rank(grant, 'all') }
}

/**
 * Whether somebody may change an override so. Managing channels must not become a way around the hierarchy of roles, in
 * either direction:
 *
 * - nobody gives or takes a permission that they don't have there themselves: else they could get by an override what
 *   their roles don't give them, or shut out those who have more;
 * - nobody touches what a channel says of a role above their own highest, or of a member who stands as high as they do
 *   or higher, themselves included: else they could silence whoever is set over them, or undo what was decided about
 *   themselves;
 * - their own highest role they may allow more, within what they have, and take nothing from: so that they can make a
 *   channel for their own team without shutting their equals out of another.
 *
 * The owner stands above all roles, and has all permissions.
 * @throws override.notBelowYours, override.beyondOwn (403)
 */
export function assertMaySet(
  setter: Setter,
  target: Target,
  before: Sides | undefined,
  after: Sides | undefined,
): void {
  const { added, removed } = difference(before ?? NOTHING, after ?? NOTHING)
  const touched = [...added.allow, ...removed.deny, ...added.deny, ...removed.allow]
  const takesNothing = added.deny.length + removed.allow.length === 0
  const isOwnHighest = target.kind === 'role' && target.rank === setter.rank
  if (target.rank >= setter.rank && !(isOwnHighest && takesNothing) && setter.rank !== Number.POSITIVE_INFINITY) {
    setter.refused('channel.manage')
    throw overrideErrors.notBelowYours(
      isOwnHighest ? 'From your own highest role you can take nothing.' : 'They stand as high as you, or higher.',
    )
  }
  const beyond = touched.find((permission) => !setter.own.has(permission))
  if (beyond === undefined) return
  setter.refused(beyond)
  throw overrideErrors.beyondOwn(`You don't have ${beyond} in this channel.`)
}

function difference(before: Sides, after: Sides): { added: Sides; removed: Sides } {
  const without = (a: Permission[], b: Permission[]) => a.filter((one) => !b.includes(one))
  return {
    added: { allow: without(after.allow, before.allow), deny: without(after.deny, before.deny) },
    removed: { allow: without(before.allow, after.allow), deny: without(before.deny, after.deny) },
  }
}

/** @throws override.contradictory (422) */
export function assertConsistent({ allow, deny }: Sides): void {
  if (allow.some((permission) => deny.includes(permission))) throw overrideErrors.contradictory()
}

import type { AuthoritySnapshot, Grant } from '../authority.ts'
import { ADMINISTRATOR, ALL, mask, READING, scopeMask, VIEW } from './bits.ts'
import type { Trace } from './trace.ts'

type Bits = { allow: bigint; deny: bigint }

/** What is allowed and denied to one role or member. */
export type Target = [id: string, bits: Bits]

/** What a channel, or its category, allows and denies. */
export type Level = { channelId: string; everyone: Target[]; roles: Target[]; members: Map<string, Target> }

type IndexedRole = { bits: bigint; position: number; requireMfa: boolean }

/** A snapshot, prepared for asking it again and again. */
export type Indexed = {
  ownerId: string | null
  requireMfa: boolean
  everyoneId: string
  roles: Map<string, IndexedRole>
  /** For each channel the levels that have overrides, the category before the channel. */
  channels: Map<string, Level[]>
}

/** The roles of a member that count for them now, without @everyone, and what all of them give together. */
export type Holding = { roleIds: Set<string>; bits: bigint }

/** Overrides for roles that aren't there (any more) are left out: they must not count for whoever had the role. */
export function indexSnapshot({ ownerId, server, roles, channels, overrides }: AuthoritySnapshot): Indexed {
  const everyoneId = roles.find((role) => role.isEveryone)?.id ?? ''
  const known = new Map(
    roles.map(({ id, permissions, position, requireMfa }) => [id, { bits: mask(permissions), position, requireMfa }]),
  )
  const levels = new Map<string, Level>()
  for (const { channelId, targetKind, targetId, allow, deny } of overrides) {
    if (targetKind === 'role' && !known.has(targetId)) continue
    const level: Level = levels.get(channelId) ?? { channelId, everyone: [], roles: [], members: new Map() }
    const target: Target = [targetId, { allow: mask(allow), deny: mask(deny) }]
    if (targetKind === 'member') level.members.set(targetId, target)
    else if (targetId === everyoneId) level.everyone.push(target)
    else level.roles.push(target)
    levels.set(channelId, level)
  }
  const chain = (id: string, parentId: string | null) => [levels.get(parentId ?? '') ?? [], levels.get(id) ?? []].flat()
  return {
    ownerId,
    requireMfa: server.requireMfa,
    everyoneId,
    roles: known,
    channels: new Map(channels.map(({ id, parentId }) => [id, chain(id, parentId)])),
  }
}

/** Whether the server asks for a second factor that this member doesn't have. The owner and bots need none. */
export const lacksMfa = ({ requireMfa, ownerId }: Indexed, { kind, mfa, userId }: Grant): boolean =>
  requireMfa && kind === 'user' && !mfa && userId !== ownerId

/** Whether a role that is there counts for a member: one that asks for a second factor is nothing to who has none. */
export const counts = ({ requireMfa }: Pick<IndexedRole, 'requireMfa'>, { kind, mfa }: Grant): boolean =>
  !requireMfa || mfa || kind === 'bot'

export const isTimedOut = ({ timedOutUntil }: Grant, now: number): boolean =>
  timedOutUntil !== null && Date.parse(timedOutUntil) > now

/** @everyone counts for everyone, whatever it asks for. */
export function hold({ roles, everyoneId }: Indexed, grant: Grant): Holding {
  const roleIds = new Set<string>()
  let bits = roles.get(everyoneId)?.bits ?? 0n
  for (const id of grant.roleIds) {
    const role = roles.get(id)
    if (!role || !counts(role, grant)) continue
    roleIds.add(id)
    bits |= role.bits
  }
  return { roleIds, bits }
}

export type Question = { grant: Grant; holding: () => Holding; channelId: string | undefined; now: number }

/**
 * The rules, in their order; see `Authority`. With a trace, each step tells which permissions it decides: the last one
 * to speak of a permission is what decided it.
 */
export function evaluate(indexed: Indexed, question: Question, trace?: Trace): bigint {
  const { grant, channelId } = question
  if (grant.standing !== 'active') {
    trace?.decide(ALL, { kind: 'standing', standing: grant.standing })
    return 0n
  }
  const levels = channelId === undefined ? [] : indexed.channels.get(channelId)
  if (!levels) {
    trace?.hide()
    return 0n
  }
  const bits = withinServer(indexed, question, levels, trace)
  const scoped = bits & scopeMask(grant.scopes)
  trace?.decide(bits & ~scoped, { kind: 'scope' })
  return scoped
}

function withinServer(indexed: Indexed, question: Question, levels: Level[], trace: Trace | undefined): bigint {
  const { grant, channelId, now } = question
  if (grant.userId === indexed.ownerId) {
    trace?.decide(ALL, { kind: 'owner' })
    return ALL
  }
  if (lacksMfa(indexed, grant)) {
    trace?.decide(ALL, { kind: 'mfa', roleIds: [] })
    return 0n
  }
  const holding = question.holding()
  trace?.decideByRoles(indexed, grant, holding)
  let { bits } = holding
  if ((bits & ADMINISTRATOR) !== 0n) return ALL
  for (const level of levels) {
    for (const step of stepsOf(level, grant.userId, holding)) {
      bits = apply(bits, step)
      trace?.decideByOverrides(level, step)
    }
  }
  if (channelId !== undefined && (bits & VIEW) === 0n) {
    trace?.hide()
    return 0n
  }
  if (!isTimedOut(grant, now)) return bits
  trace?.decide(bits & ~READING, { kind: 'timeout', until: grant.timedOutUntil! })
  return bits & READING
}

/** @everyone's override, then those of the member's roles, then the member's own. */
function stepsOf({ everyone, roles, members }: Level, userId: string, { roleIds }: Holding): Target[][] {
  const own = members.get(userId)
  return [everyone, roles.filter(([id]) => roleIds.has(id)), own ? [own] : []]
}

/** All that is denied, then all that is allowed. */
function apply(before: bigint, targets: Target[]): bigint {
  let bits = before
  for (const [, { deny }] of targets) bits &= ~deny
  for (const [, { allow }] of targets) bits |= allow
  return bits
}

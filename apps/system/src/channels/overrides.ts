import type { ChannelOverride, NewChannelOverride, Override, Page, Permission } from '@conntext/contracts'
import { actorOf, type Caller } from '@conntext/http'
import { change } from '../change.ts'
import { systemAudit } from '../recorder.ts'
import { channelErrors, overrideErrors } from './errors.ts'
import { deleteOverride, selectChannel, selectOverrides, upsertOverride } from './queries.ts'
import type { ChannelDeps } from './service.ts'

const MAX_OVERRIDES = 100

// As the audit names it.
const ROUTE = '/v1/channels/:channelId/overrides/:targetId'

/** All overrides of a channel: they fit on one page. */
export async function listOverrides({ db }: ChannelDeps, channelId: string): Promise<Page<ChannelOverride>> {
  return { items: (await selectOverrides(db, channelId)).map(toOverride), nextCursor: null }
}

/**
 * Says what a channel allows and denies a role or a member.
 * @throws channel.notFound, override.noSuchTarget (404), override.contradictory (422), override.beyondOwn (403)
 */
export async function setOverride(
  deps: ChannelDeps,
  caller: Caller,
  { channelId, targetId }: { channelId: string; targetId: string },
  { allow, deny }: NewChannelOverride,
): Promise<ChannelOverride> {
  if (allow.some((permission) => deny.includes(permission))) throw overrideErrors.contradictory()
  const override: Override = { channelId, targetKind: await kindOf(deps, targetId), targetId, allow, deny }
  const own = await ownPermissions(deps, caller, channelId)
  return change(deps, async (tx, effects) => {
    if (!(await selectChannel(tx, channelId))) throw channelErrors.notFound()
    const all = await selectOverrides(tx, channelId)
    const before = all.find((one) => one.targetId === targetId)
    if (!before && all.length >= MAX_OVERRIDES) throw overrideErrors.tooMany()
    const touched = [...difference(allow, before?.allow), ...difference(deny, before?.deny)]
    assertOwn(own, touched, (beyond) => deps.refused(caller, beyond, `PUT ${ROUTE}`))
    if (before && Bun.deepEquals(before, override)) return toOverride(override)
    await upsertOverride(tx, override)
    const { channelId: _, ...data } = override
    effects.audit.push(systemAudit('override.set', actorOf(caller), channelId, data))
    return toOverride(override)
  })
}

/** @throws override.notFound (404), override.beyondOwn (403) */
export async function removeOverride(
  deps: ChannelDeps,
  caller: Caller,
  { channelId, targetId }: { channelId: string; targetId: string },
): Promise<void> {
  const own = await ownPermissions(deps, caller, channelId)
  await change(deps, async (tx, effects) => {
    const before = (await selectOverrides(tx, channelId)).find((one) => one.targetId === targetId)
    if (!before) throw overrideErrors.notFound()
    const touched = [...before.allow, ...before.deny]
    assertOwn(own, touched, (beyond) => deps.refused(caller, beyond, `DELETE ${ROUTE}`))
    await deleteOverride(tx, channelId, targetId)
    const { targetKind } = before
    effects.audit.push(systemAudit('override.removed', actorOf(caller), channelId, { targetKind, targetId }))
  })
}

async function kindOf({ guard }: ChannelDeps, targetId: string): Promise<Override['targetKind']> {
  const { snapshot } = await guard.authority()
  if (snapshot.roles.some((role) => role.id === targetId)) return 'role'
  if (await guard.grant(targetId)) return 'member'
  throw overrideErrors.noSuchTarget()
}

async function ownPermissions({ guard, clock }: ChannelDeps, caller: Caller, channelId: string): Promise<Permission[]> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grant(caller.userId)])
  return grant ? authority.effective(grant, channelId, clock.now().getTime()) : []
}

// Otherwise who manages a channel could give themselves, by its overrides, what their roles don't.
function assertOwn(own: Permission[], touched: Permission[], refused: (beyond: Permission) => void): void {
  const beyond = touched.find((permission) => !own.includes(permission))
  if (beyond === undefined) return
  refused(beyond)
  throw overrideErrors.beyondOwn(`You don't have ${beyond} in this channel.`)
}

const difference = (a: Permission[], b: Permission[] = []): Permission[] => [
  ...a.filter((one) => !b.includes(one)),
  ...b.filter((one) => !a.includes(one)),
]

const toOverride = (override: Override) => override as ChannelOverride

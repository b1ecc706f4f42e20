import type { ChannelOverride, NewChannelOverride, Override, Page } from '@conntext/contracts'
import { systemActor } from '@conntext/contracts'
import type { ChannelRow } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { type ChangeDeps, change, type Transaction } from '../change.ts'
import { systemAudit } from '../recorder.ts'
import { channelErrors, overrideErrors } from './errors.ts'
import { assertConsistent, assertMaySet, setterOf, targetOf, targetOfExisting } from './override-rules.ts'
import { deleteLeftOverrides, deleteOverride, selectChannel, selectOverrides, upsertOverride } from './queries.ts'
import type { ChannelDeps } from './service.ts'

const MAX_OVERRIDES = 100
const LEFT_BATCH = 500

// As the audit names it.
const ROUTE = '/v1/channels/:channelId/overrides/:targetId'

type Which = { channelId: string; targetId: string }

/** All overrides of a channel: they fit on one page. What stands for a role that is gone doesn't count, nor show. */
export async function listOverrides({ db, guard }: ChannelDeps, channelId: string): Promise<Page<ChannelOverride>> {
  const { snapshot } = await guard.authority()
  const roles = new Set(snapshot.roles.map((role) => role.id))
  const overrides = await selectOverrides(db, channelId)
  const items = overrides.filter((one) => one.targetKind === 'member' || roles.has(one.targetId)).map(toOverride)
  return { items, nextCursor: null }
}

/** @throws override.notFound (404) */
export async function getOverride(deps: ChannelDeps, { channelId, targetId }: Which): Promise<ChannelOverride> {
  const { items } = await listOverrides(deps, channelId)
  const found = items.find((one) => one.targetId === targetId)
  if (!found) throw overrideErrors.notFound()
  return found
}

/**
 * Says what a channel allows and denies a role or a member; who may, says `assertMaySet`.
 * @throws channel.notFound, override.noSuchTarget (404), override.contradictory (422), override.tooMany (409),
 * override.notBelowYours, override.beyondOwn (403)
 */
export async function setOverride(
  deps: ChannelDeps,
  caller: Caller,
  { channelId, targetId }: Which,
  sides: NewChannelOverride,
): Promise<ChannelOverride> {
  assertConsistent(sides)
  return change(deps, async (tx, effects) => {
    const target = await targetOf(deps, targetId)
    const setter = await setterOf(deps, caller, { channelId, route: `PUT ${ROUTE}` })
    const override: Override = { channelId, targetKind: target.kind, targetId, ...sides }
    if (!(await selectChannel(tx, channelId))) throw channelErrors.notFound()
    const all = await selectOverrides(tx, channelId)
    const before = all.find((one) => one.targetId === targetId)
    if (!before && all.length >= MAX_OVERRIDES) throw overrideErrors.tooMany(`It can have ${MAX_OVERRIDES}.`)
    assertMaySet(setter, target, before && toOverride(before), sides)
    if (before && Bun.deepEquals(before, override)) return toOverride(override)
    await upsertOverride(tx, override)
    effects.audit.push(overrideSet(caller, override, before))
    return toOverride(override)
  })
}

export function overrideSet(caller: Caller, { channelId, ...data }: Override, before?: Override) {
  return systemAudit('override.set', actorOf(caller), channelId, { ...data, before: before ? sidesOf(before) : null })
}

const sidesOf = ({ allow, deny }: Override) => ({ allow, deny })

/** @throws override.notFound (404), override.notBelowYours, override.beyondOwn (403) */
export async function removeOverride(deps: ChannelDeps, caller: Caller, { channelId, targetId }: Which): Promise<void> {
  await change(deps, async (tx, effects) => {
    const setter = await setterOf(deps, caller, { channelId, route: `DELETE ${ROUTE}` })
    const before = (await selectOverrides(tx, channelId)).find((one) => one.targetId === targetId)
    if (!before) throw overrideErrors.notFound()
    assertMaySet(setter, await targetOfExisting(deps, before), toOverride(before), undefined)
    await deleteOverride(tx, channelId, targetId)
    const data = { targetKind: before.targetKind, targetId, before: sidesOf(before) }
    effects.audit.push(systemAudit('override.removed', actorOf(caller), channelId, data))
  })
}

type Move = { row: Pick<ChannelRow, 'id' | 'parentId'>; parentId: string | null }

/**
 * A channel leans on its category's overrides: moving it to another is to change them for it, by the rules of
 * `setOverride`. Within the change.
 * @throws override.notBelowYours, override.beyondOwn (403)
 */
export async function assertMayMove(
  tx: Transaction,
  deps: ChannelDeps,
  caller: Caller,
  { row, parentId }: Move,
): Promise<void> {
  const overridesOf = async (id: string | null) => (id === null ? [] : await selectOverrides(tx, id))
  const [before, after] = [await overridesOf(row.parentId), await overridesOf(parentId)]
  if (before.length + after.length === 0) return
  const setter = await setterOf(deps, caller, { channelId: row.id, route: 'PATCH /v1/channels/:channelId' })
  for (const one of new Map([...before, ...after].map((override) => [override.targetId, override])).values()) {
    const sidesIn = (overrides: Override[]) => {
      const found = overrides.find(({ targetId }) => targetId === one.targetId)
      return found && toOverride(found)
    }
    assertMaySet(setter, await targetOfExisting(deps, one), sidesIn(before), sidesIn(after))
  }
}

/**
 * Removes what was left behind by roles and accounts that are gone. It counts for nobody; it goes so that it neither
 * piles up nor takes the places of others.
 */
export async function removeLeftOverrides(deps: ChangeDeps): Promise<void> {
  for (;;) {
    const removed = await change(deps, async (tx, effects) => {
      const left = await deleteLeftOverrides(tx, LEFT_BATCH)
      for (const override of left) {
        const { channelId, targetKind, targetId } = override
        const data = { targetKind, targetId, before: sidesOf(override) }
        effects.audit.push(systemAudit('override.removed', systemActor, channelId, data))
      }
      return left.length
    })
    if (removed < LEFT_BATCH) return
  }
}

// An override can hold permissions of channels alone.
const toOverride = (override: Override) => override as ChannelOverride

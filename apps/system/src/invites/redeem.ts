import { type AuditActor, type SystemPort, systemActor } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { recordAudit, systemAudit } from '../recorder.ts'
import { inviteErrors } from './errors.ts'
import { mayGive } from './giving.ts'
import {
  deleteRedemption,
  findInvite,
  forgetRedemption,
  insertRedemption,
  lockInvite,
  selectAbandoned,
  selectRedemption,
} from './queries.ts'
import type { InviteKeys } from './service.ts'
import { assertUsable, isDead } from './usable.ts'

export type RedeemDeps = { db: ServerDetails; guard: Guard; clock: Clock; keys: InviteKeys; nudge(): void }

type Reservation = Parameters<SystemPort['reserveInvite']>[0]

// Making an account takes seconds: one that isn't there by then will not be.
const ABANDONED_AFTER_MS = 600_000
const ABANDONED_BATCH = 100

/**
 * Takes one use of the invite for somebody who is about to become a member. The invite's row lock keeps the uses exact
 * under any number of callers; a repeat for the same user takes no other. Its role comes with it for as long as whoever
 * made the invite could give that role themselves: what has been taken from somebody, their codes don't bring back.
 *
 * With `again` the account is there already. The use that it came in with is spent; one that it has taken and not come
 * in with is given back for another code.
 * @throws invite.notFound (404), invite.expired, invite.usedUp (410)
 */
export async function reserveInvite(
  deps: RedeemDeps,
  { code, userId, again = false }: Reservation,
): Promise<{ inviteId: string; roleId: string | null }> {
  const { db, guard, clock, keys, nudge } = deps
  const codeHash = keys.hash(code)
  const wanted = await findInvite(db, codeHash)
  if (wanted && (await isDead(guard, wanted))) throw inviteErrors.notFound()
  if (again) await releaseOther(deps, userId, wanted?.id)
  const { inviteId, creatorId, roleId } = await db.transaction(async (tx) => {
    const invite = await lockInvite(tx, { codeHash })
    const before = await selectRedemption(tx, userId)
    const isRepeat = !again || (before?.isPending === true && before.inviteId === invite?.id)
    if (before && isRepeat) return before
    assertUsable(invite, clock.now())
    if (before) await forgetRedemption(tx, userId)
    const isNew = await insertRedemption(tx, { userId, inviteId: invite.id, createdAt: clock.now() })
    // At the same moment, with another code.
    if (!isNew) return (await selectRedemption(tx, userId))!
    await recordAudit(tx, [systemAudit('invite.redeemed', newcomer(userId), invite.id, { userId })])
    return { inviteId: invite.id, creatorId: invite.creatorId, roleId: invite.roleId }
  })
  nudge()
  const isGiven = roleId !== null && (await mayGive(deps, { userId: creatorId }, roleId))
  return { inviteId, roleId: isGiven ? roleId : null }
}

/** Gives back what somebody who comes back has taken of another invite, and not come in with. */
async function releaseOther(deps: RedeemDeps, userId: string, wantedId: string | undefined): Promise<void> {
  const before = await selectRedemption(deps.db, userId)
  if (before?.isPending && before.inviteId !== wantedId) await releaseInvite(deps, { userId })
}

/** Gives back the use that was taken for somebody who did not come in; without one, does nothing. */
export async function releaseInvite({ db, nudge }: RedeemDeps, { userId }: { userId: string }): Promise<void> {
  await db.transaction(async (tx) => {
    const redemption = await selectRedemption(tx, userId)
    if (!redemption) return
    // In the order of `reserveInvite`, so that the two cannot wait for each other.
    await lockInvite(tx, { id: redemption.inviteId })
    if (!(await deleteRedemption(tx, userId, redemption.inviteId))) return
    await recordAudit(tx, [systemAudit('invite.released', systemActor, redemption.inviteId, { userId })])
  })
  nudge()
}

/** Gives back the uses of those whose coming in broke off without anybody saying so. */
export async function giveBackAbandoned(deps: RedeemDeps): Promise<void> {
  const before = new Date(deps.clock.now().getTime() - ABANDONED_AFTER_MS)
  for (;;) {
    const abandoned = await selectAbandoned(deps.db, before, ABANDONED_BATCH)
    for (const userId of abandoned) await releaseInvite(deps, { userId })
    if (abandoned.length < ABANDONED_BATCH) return
  }
}

const newcomer = (userId: string): AuditActor => ({ ...systemActor, kind: 'user', id: userId })

import { type AuditActor, systemActor } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { recordAudit, systemAudit } from '../recorder.ts'
import { inviteErrors } from './errors.ts'
import { mayGive } from './giving.ts'
import {
  deleteRedemption,
  forgetRedemption,
  insertRedemption,
  lockInvite,
  selectAbandoned,
  selectRedemption,
} from './queries.ts'
import type { InviteKeys } from './service.ts'

export type RedeemDeps = { db: ServerDetails; guard: Guard; clock: Clock; keys: InviteKeys; nudge(): void }

// Making an account takes seconds: one that isn't there by then will not be.
const ABANDONED_AFTER_MS = 600_000
const ABANDONED_BATCH = 100

/**
 * Takes one use of the invite for an account that is about to be made. The invite's row lock keeps the uses exact
 * under any number of callers; a repeat for the same user takes no other, but for one who comes back (`again`). Its role
 * comes with it for as long as whoever made the invite could give that role themselves: what has been taken from
 * somebody, their codes don't bring back.
 * @throws invite.notFound (404), invite.expired (410), invite.usedUp (410)
 */
export async function reserveInvite(
  deps: RedeemDeps,
  { code, userId, again = false }: { code: string; userId: string; again?: boolean },
): Promise<{ inviteId: string; roleId: string | null }> {
  const { db, clock, keys, nudge } = deps
  const { inviteId, creatorId, roleId } = await db.transaction(async (tx) => {
    const invite = await lockInvite(tx, { codeHash: keys.hash(code) })
    const before = again ? undefined : await selectRedemption(tx, userId)
    if (before) return before
    if (!invite || invite.revokedAt !== null) throw inviteErrors.notFound()
    const now = clock.now()
    if (invite.expiresAt !== null && invite.expiresAt <= now) throw inviteErrors.expired()
    if (invite.maxUses !== null && invite.uses >= invite.maxUses) throw inviteErrors.usedUp()
    if (again) await forgetRedemption(tx, userId)
    const isNew = await insertRedemption(tx, { userId, inviteId: invite.id, createdAt: now })
    // At the same moment, with another code.
    if (!isNew) return (await selectRedemption(tx, userId))!
    await recordAudit(tx, [systemAudit('invite.redeemed', newcomer(userId), invite.id, { userId })])
    return { inviteId: invite.id, creatorId: invite.creatorId, roleId: invite.roleId }
  })
  nudge()
  return { inviteId, roleId: roleId !== null && (await mayGive(deps, creatorId, roleId)) ? roleId : null }
}

/** Gives back the use that was taken for an account which was not made; without one, does nothing. */
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

/** Gives back the uses of accounts whose making broke off without anybody saying so. */
export async function giveBackAbandoned(deps: RedeemDeps): Promise<void> {
  const before = new Date(deps.clock.now().getTime() - ABANDONED_AFTER_MS)
  for (;;) {
    const abandoned = await selectAbandoned(deps.db, before, ABANDONED_BATCH)
    for (const userId of abandoned) await releaseInvite(deps, { userId })
    if (abandoned.length < ABANDONED_BATCH) return
  }
}

const newcomer = (userId: string): AuditActor => ({ ...systemActor, kind: 'user', id: userId })

import { auditFor, type Grant, type Member } from '@conntext/contracts'
import { actorOf, type Caller } from '@conntext/http'
import { readGrant } from '../authority/snapshot.ts'
import type { Changes } from '../changes.ts'
import { memberErrors } from '../members/errors.ts'
import { memberUpdated, toMember } from '../members/members.ts'
import { findMember } from '../members/queries.ts'
import { endMembership } from '../membership/standing.ts'
import { type AdministrationDependencies, type Administrator, administer } from '../roles/administration.ts'
import type { Transaction } from '../transaction.ts'
import { updateUser } from '../users/queries.ts'
import { endAccess } from './ending.ts'
import { moderationErrors } from './errors.ts'
import { reasonOf } from './reasons.ts'

const audit = auditFor('auth')

type Dependencies = AdministrationDependencies & { changes: Changes }

export function createModeration(deps: Dependencies) {
  const { clock, changes } = deps

  /** Sets or lifts a member's timeout; answers the member as they are then. */
  const silence = async (tx: Transaction, userId: string, until: Date | null): Promise<Member> => {
    await updateUser(tx, userId, { timedOutUntil: until })
    const member = toMember((await findMember(tx, userId))!)
    await changes.owe(tx, { events: [memberUpdated(member)] })
    return member
  }

  return {
    /**
     * Removes a member who stands below the caller. They keep their account, and may join again as anybody may.
     * @throws access.forbidden, member.notBelowYou (403), .notFound (404), moderation.reasonRequired (422)
     */
    async kick(caller: Caller, userId: string): Promise<void> {
      const request = { caller, route: 'POST /v1/members/:id/kick', permission: 'member.kick' } as const
      const revoked = await administer(deps, request, async (tx, who) => {
        const reason = reasonOf(who, caller)
        await findTarget(tx, who, userId)
        const actor = actorOf(caller)
        await endMembership(tx, changes, { userId, to: 'left', actor })
        await changes.owe(tx, { audit: [audit('member.kicked', { ...actor, reason }, userId, {})] })
        return endAccess(tx, deps, { userId, actor, by: 'kick' })
      })
      await changes.settled({ authority: [{ userId }], revoked })
    },

    /**
     * Silences a member who stands below the caller, from now on; one who is silenced already, until then instead.
     * @throws access.forbidden, member.notBelowYou (403), .notFound (404), moderation.administratorExempt (409),
     * .reasonRequired (422)
     */
    async timeOut(caller: Caller, userId: string, seconds: number): Promise<Member> {
      const request = { caller, route: 'POST /v1/members/:id/timeout', permission: 'member.timeout' } as const
      const member = await administer(deps, request, async (tx, who) => {
        const reason = reasonOf(who, caller)
        const target = await findTarget(tx, who, userId)
        const now = clock.now()
        if (who.authority.allows(target, 'administrator', undefined, now.getTime())) {
          throw moderationErrors.administratorExempt()
        }
        const until = new Date(now.getTime() + seconds * 1000)
        const data = { until: until.toISOString(), before: target.timedOutUntil }
        await changes.owe(tx, { audit: [audit('member.timedOut', { ...actorOf(caller), reason }, userId, data)] })
        return silence(tx, userId, until)
      })
      await changes.settled({ authority: [{ userId }] })
      return member
    },

    /**
     * Without a timeout that runs there is nothing to lift, and nothing happens.
     * @throws access.forbidden, member.notBelowYou (403), .notFound (404), moderation.reasonRequired (422)
     */
    async liftTimeout(caller: Caller, userId: string): Promise<void> {
      const request = { caller, route: 'DELETE /v1/members/:id/timeout', permission: 'member.timeout' } as const
      await administer(deps, request, async (tx, who) => {
        const reason = reasonOf(who, caller)
        const { timedOutUntil } = await findTarget(tx, who, userId)
        if (timedOutUntil === null || Date.parse(timedOutUntil) <= clock.now().getTime()) return
        const actor = { ...actorOf(caller), reason }
        await changes.owe(tx, { audit: [audit('member.timeoutLifted', actor, userId, { until: timedOutUntil })] })
        await silence(tx, userId, null)
      })
      await changes.settled({ authority: [{ userId }] })
    },
  }
}

export type Moderation = ReturnType<typeof createModeration>

/** A member whom the caller may moderate. */
async function findTarget(tx: Transaction, who: Administrator, userId: string): Promise<Grant> {
  const target = await readGrant(tx, userId)
  if (target?.standing !== 'active') throw memberErrors.notFound()
  who.assertOutranks(target)
  return target
}

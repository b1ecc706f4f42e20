import { type AuditActor, auditFor, type JoinRequest, type Member, type SystemPort } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import { AppError, type Clock, type Logger } from '@conntext/kernel'
import { lockAuthority } from '../authority/queries.ts'
import { readGrant } from '../authority/snapshot.ts'
import type { Changes } from '../changes.ts'
import { memberErrors } from '../members/errors.ts'
import type { BanExpiry } from '../moderation/expiry.ts'
import { registrationErrors } from '../registration/errors.ts'
import { createInviteUse } from '../registration/invite-use.ts'
import { giveRoleIfThere } from '../registration/queries.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import { createTokenEnding } from '../tokens/ending.ts'
import type { Transaction } from '../transaction.ts'
import { userErrors } from '../users/errors.ts'
import { beginMembership, endMembership } from './standing.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  changes: Changes
  expiry: BanExpiry
  throttle: Throttle
  log: Logger
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite' | 'registrationMode'>
}

/** Who comes back, in whose name it is recorded, and with which invite. */
export type Joining = JoinRequest & { userId: string; actor: AuditActor }

/** Leaving the server, and coming back to it, with the same account. */
export function createMembership(deps: Dependencies) {
  const { db, clock, changes, expiry, throttle, system } = deps
  const inviteUse = createInviteUse(deps)

  const wayIn = async (inviteCode: string | undefined): Promise<'invite' | 'open'> => {
    const { mode } = await system.registrationMode({})
    if (mode === 'closed') throw registrationErrors.closed()
    if (inviteCode !== undefined) return 'invite'
    if (mode === 'invite') throw registrationErrors.inviteRequired()
    return 'open'
  }

  const rejoin = ({ userId, actor }: Joining, via: 'invite' | 'open', roleId: string | null): Promise<Member> =>
    db.transaction(async (tx) => {
      await lockAuthority(tx)
      await assertHasLeft(tx, userId)
      const given = roleId !== null && (await giveRoleIfThere(tx, userId, roleId))
      const added = given ? [{ added: [roleId], removed: [] }] : []
      await changes.owe(tx, {
        audit: [
          audit('member.rejoined', actor, userId, { via }),
          ...added.map((roles) => audit('member.rolesChanged', actor, userId, roles)),
        ],
        joins: [{ userId }],
      })
      return beginMembership(tx, changes, { userId, now: clock.now() })
    })

  const join = async (joining: Joining): Promise<Member> => {
    const { userId, inviteCode: code, actor } = joining
    const guesser = addressSubject('registration', actor.address)
    try {
      await throttle.admit(guesser, registrationErrors.throttled)
      await expiry.endOf(userId)
      // Before an invite is used; and once more under the lock.
      await assertHasLeft(db, userId)
      const via = await wayIn(code)
      const run = (roleId: string | null) => rejoin(joining, via, roleId)
      const member = await (code === undefined ? run(null) : inviteUse.during({ code, userId, again: true }, run))
      await changes.settled({ authority: [{ userId }] })
      return member
    } catch (error) {
      if (error instanceof AppError && error.code === 'invite.notFound') await throttle.failed(guesser)
      throw error
    }
  }

  return {
    /**
     * Makes somebody who has left a member again: where the server is open, or with an invite, whose role they get.
     * @throws registration.closed, .inviteRequired, member.banned (403), invite.notFound, user.notFound (404),
     * member.alreadyMember (409), invite.expired, .usedUp (410), registration.throttled (429)
     */
    join,

    /** The same, for the person themselves. */
    joinAgain: (caller: Caller, request: JoinRequest): Promise<Member> =>
      join({ ...request, userId: caller.userId, actor: actorOf(caller) }),

    /**
     * They keep their account, its sessions and its own API tokens; those that they made for bots end.
     * @throws access.notAMember (403), member.ownerStays (409)
     */
    async leave(caller: Caller): Promise<void> {
      const { userId } = caller
      const revoked = await db.transaction(async (tx) => {
        const { ownerId } = await lockAuthority(tx)
        if (userId === ownerId) throw memberErrors.ownerStays()
        const grant = await readGrant(tx, userId)
        if (grant?.standing !== 'active') throw accessErrors.notAMember()
        const actor = actorOf(caller)
        await endMembership(tx, changes, { userId, to: 'left', actor })
        await changes.owe(tx, { audit: [audit('member.left', actor, userId, {})] })
        return createTokenEnding(deps)(tx, userId, { actor, by: 'leaving' })
      })
      await changes.settled({ authority: [{ userId }], revoked })
    },
  }
}

export type Membership = ReturnType<typeof createMembership>

async function assertHasLeft(db: ServerDetails | Transaction, userId: string): Promise<void> {
  const grant = await readGrant(db, userId)
  if (!grant || grant.standing === 'deleted') throw userErrors.notFound()
  if (grant.standing === 'active') throw memberErrors.alreadyMember()
  if (grant.standing === 'banned') throw memberErrors.banned()
}

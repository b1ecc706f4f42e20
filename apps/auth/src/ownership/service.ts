import { auditFor, type Confirmation as Given, type Grant } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, type Guard } from '@conntext/http'
import { lockAuthority, setOwner } from '../authority/queries.ts'
import { readGrant, readServerSnapshot } from '../authority/snapshot.ts'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { memberErrors } from '../members/errors.ts'
import type { Refusals } from '../refusals.ts'
import type { Transaction } from '../transaction.ts'
import { ownershipErrors } from './errors.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  guard: Guard
  changes: Changes
  confirmation: Confirmation
  refusals: Refusals
}

export function createOwnership({ db, guard, changes, confirmation, refusals }: Dependencies) {
  const refuse = (caller: Caller) => {
    refusals.access(caller, 'owner', 'POST /v1/members/:id/ownership')
    return ownershipErrors.notYours()
  }

  return {
    /**
     * Makes a member the owner. Whoever was it keeps their roles, and with them what these allow.
     * @throws ownership.notYours (403), .alreadyTheirs, .botsOwnNothing, .mfaRequired (409), member.notFound (404), and
     * what the confirmation throws
     */
    async transfer(caller: Caller, userId: string, given: Given): Promise<void> {
      // Asked first: others' passwords are nothing to try here. And again under the lock.
      if ((await guard.authority()).snapshot.ownerId !== caller.userId) throw refuse(caller)
      await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, given)
        const { ownerId } = await lockAuthority(tx)
        if (ownerId !== caller.userId) throw refuse(caller)
        await assertMayOwn(tx, await readGrant(tx, userId), ownerId)
        await setOwner(tx, userId)
        const data = { from: caller.userId }
        await changes.owe(tx, { audit: [audit('server.ownershipTransferred', actorOf(caller), userId, data)] })
      })
      await changes.settled({ authority: [{}] })
    },
  }
}

export type Ownership = ReturnType<typeof createOwnership>

async function assertMayOwn(tx: Transaction, target: Grant | undefined, ownerId: string): Promise<void> {
  if (target?.standing !== 'active') throw memberErrors.notFound()
  if (target.userId === ownerId) throw ownershipErrors.alreadyTheirs()
  if (target.kind === 'bot') throw ownershipErrors.botsOwnNothing()
  const { server } = await readServerSnapshot(tx)
  if (server.requireMfa && !target.mfa) throw ownershipErrors.mfaRequired()
}

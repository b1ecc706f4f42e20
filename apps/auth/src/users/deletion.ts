import type { UserDeletion } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { lockAuthority } from '../authority/queries.ts'
import type { Changes, Settled } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { listBotIdsOf } from './deletion-queries.ts'
import { eraseAccount } from './erasure.ts'
import { userErrors } from './errors.ts'

type Dependencies = { db: ServerDetails; clock: Clock; changes: Changes; confirmation: Confirmation }

export function createUserDeletion(deps: Dependencies) {
  const { db, changes, confirmation } = deps

  return {
    /**
     * Deletes the caller's account, and their bots with it: nobody else holds those. Messages of the bots stay.
     * @throws user.isOwner (409), and what a confirmation throws
     */
    async remove(caller: Caller, { messages, ...proof }: UserDeletion): Promise<void> {
      const { userId } = caller
      const settled = await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, proof)
        const { ownerId } = await lockAuthority(tx)
        if (ownerId === userId) throw userErrors.isOwner()
        const actor = actorOf(caller)
        const own = await eraseAccount(tx, deps, { userId, actor, messages })
        if (!own) throw accessErrors.unauthenticated()
        const all = [own]
        for (const botId of await listBotIdsOf(tx, userId)) {
          all.push((await eraseAccount(tx, deps, { userId: botId, actor, messages: 'keep' })) ?? {})
        }
        return together(all)
      })
      await changes.settled(settled)
    },
  }
}

export type UserDeletions = ReturnType<typeof createUserDeletion>

const together = (all: Settled[]): Settled => ({
  authority: all.flatMap(({ authority = [] }) => authority),
  revoked: all.flatMap(({ revoked = [] }) => revoked),
})

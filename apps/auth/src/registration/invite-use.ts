import type { SystemPort } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { AppError, type Logger } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import { isMember } from './queries.ts'

type Dependencies = {
  db: ServerDetails
  changes: Changes
  log: Logger
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite'>
}

/** `again`: the account is there already, and may have used an invite before. */
export type InviteUse = { code: string; userId: string; again?: boolean }

/** An invite's use is system's, an account is ours: the use is taken first, and given back when no member comes of it. */
export function createInviteUse({ db, changes, log, system }: Dependencies) {
  const giveBack = async (userId: string): Promise<void> => {
    try {
      // A commit whose answer was lost is a commit. Of two who come back at once with an invite each, both are used.
      if (await isMember(db, userId)) return
      await system.releaseInvite({ userId }).catch(() => changes.oweInviteRelease(userId))
    } catch (error) {
      log.error({ err: error, userId }, 'the use of an invite could not be given back')
    }
  }

  const reserve = async (use: InviteUse): Promise<string | null> => {
    try {
      return (await system.reserveInvite(use)).roleId
    } catch (error) {
      // A refusal took nothing. After any other failure nobody knows.
      if (!(error instanceof AppError && error.status < 500)) await giveBack(use.userId)
      throw error
    }
  }

  return {
    /** @throws what `reserveInvite` or `make` throws; in either case no use is taken */
    async during<T>(use: InviteUse, make: (roleId: string | null) => Promise<T>): Promise<T> {
      const roleId = await reserve(use)
      try {
        return await make(roleId)
      } catch (error) {
        await giveBack(use.userId)
        throw error
      }
    },
  }
}

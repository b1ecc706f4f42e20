import type { SystemPort } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { AppError, type Logger } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import { userExists } from './queries.ts'

type Dependencies = {
  db: ServerDetails
  changes: Changes
  log: Logger
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite'>
}

/** An invite's use is system's, an account is ours: the use is taken first, and given back when no account comes of it. */
export function createInviteUse({ db, changes, log, system }: Dependencies) {
  const giveBack = async (userId: string): Promise<void> => {
    try {
      // A commit whose answer was lost is a commit.
      if (await userExists(db, userId)) return
      await system.releaseInvite({ userId }).catch(() => changes.oweInviteRelease(userId))
    } catch (error) {
      log.error({ err: error, userId }, 'the use of an invite could not be given back')
    }
  }

  const reserve = async (code: string, userId: string): Promise<string | null> => {
    try {
      return (await system.reserveInvite({ code, userId })).roleId
    } catch (error) {
      // A refusal took nothing. After any other failure nobody knows.
      if (!(error instanceof AppError && error.status < 500)) await giveBack(userId)
      throw error
    }
  }

  return {
    /** @throws what `reserveInvite` or `make` throws; in either case no use is taken */
    async during<T>(code: string, userId: string, make: (roleId: string | null) => Promise<T>): Promise<T> {
      const roleId = await reserve(code, userId)
      try {
        return await make(roleId)
      } catch (error) {
        await giveBack(userId)
        throw error
      }
    },
  }
}

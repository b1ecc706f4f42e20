import { auditFor, type SessionRevocation } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { findSettings } from '../authority/queries.ts'
import type { Changes } from '../changes.ts'
import { replaceRecoveryCodes } from '../recovery-codes/queries.ts'
import { newRecoveryCode, RECOVERY_CODES, recoveryCodeIn } from '../recovery-codes/recovery-codes.ts'
import { endSessions } from '../sessions/ending.ts'
import type { Transaction } from '../transaction.ts'
import type { SecondFactorCodes } from './codes.ts'
import { mfaErrors } from './errors.ts'
import { secondFactorsOf } from './factors.ts'
import { type LockedAccount, lockAccount } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  changes: Changes
  codes: SecondFactorCodes
}

/** What the first second factor brings along. */
export type Gained = { recoveryCodes: string[] | null; revoked: SessionRevocation[] }

/** What goes with a second factor that comes or goes, whichever it is. */
export function createFactorChanges({ db, clock, changes, codes }: Dependencies) {
  const newCodes = async (tx: Transaction, userId: string): Promise<string[]> => {
    const made = Array.from({ length: RECOVERY_CODES }, newRecoveryCode)
    const hashes = made.map((code) => codes.recoveryHash(userId, recoveryCodeIn(code)!))
    await replaceRecoveryCodes(tx, { userId, hashes, now: clock.now() })
    return made
  }

  /** The account, which is the caller's alone until the transaction ends. */
  const lock = async (tx: Transaction, { userId }: Caller): Promise<LockedAccount> => {
    const account = await lockAccount(tx, userId)
    if (!account) throw accessErrors.unauthenticated()
    return account
  }

  return {
    lock,

    /** Runs a change of an account's factors; then drops what others have cached of it. */
    async change<T>(
      caller: Caller,
      make: (tx: Transaction) => Promise<T & { revoked?: SessionRevocation[] }>,
    ): Promise<T> {
      const made = await db.transaction(make)
      await changes.settled({ authority: [{ userId: caller.userId }], revoked: made.revoked ?? [] })
      return made
    },

    /** Before the factor is written. With the first come recovery codes, and the sessions that know nothing of it end. */
    async gain(tx: Transaction, caller: Caller): Promise<Gained> {
      if ((await secondFactorsOf(tx, caller.userId)).length > 0) return { recoveryCodes: null, revoked: [] }
      const others = { userId: caller.userId, except: caller.sessionId, actor: actorOf(caller), by: 'mfaEnabled' }
      const revoked = await endSessions(tx, { changes, clock }, others)
      return { recoveryCodes: await newCodes(tx, caller.userId), revoked }
    },

    /**
     * After the factor was deleted. With the last go the recovery codes.
     * @throws mfa.required (409) when it was the last, of a member of a server that asks for one
     */
    async lose(tx: Transaction, caller: Caller, { standing }: LockedAccount): Promise<void> {
      if ((await secondFactorsOf(tx, caller.userId)).length > 0) return
      const settings = await findSettings(tx)
      if (settings?.requireMfa && standing === 'active') throw mfaErrors.required()
      await replaceRecoveryCodes(tx, { userId: caller.userId, hashes: [], now: clock.now() })
    },

    /** @throws mfa.noFactor (409) */
    async renewCodes(tx: Transaction, caller: Caller): Promise<string[]> {
      if ((await secondFactorsOf(tx, caller.userId)).length === 0) throw mfaErrors.noFactor()
      await changes.owe(tx, { audit: [audit('mfa.recoveryCodesRenewed', actorOf(caller), caller.userId, {})] })
      return newCodes(tx, caller.userId)
    },
  }
}

export type FactorChanges = ReturnType<typeof createFactorChanges>

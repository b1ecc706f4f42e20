import type { AuditActor, Confirmation as Given } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { AppError, type Clock } from '@conntext/kernel'
import { secondFactorsOf } from '../mfa/factors.ts'
import { verifyPassword } from '../passwords/passwords.ts'
import { Slots } from '../passwords/slots.ts'
import type { Refusals } from '../refusals.ts'
import type { Subject, Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { confirmationErrors } from './errors.ts'
import { findAuthenticatedAt, findPasswordHash } from './queries.ts'

/** For how long after a login it is taken to be still the same person, where they have nothing else to prove it with. */
export const RECENT_LOGIN_MS = 10 * 60_000

/** Whether the code is one of the account's authenticator app or an unused recovery code; uses it up. */
export type VerifySecondFactorCode = (
  tx: Transaction,
  userId: string,
  code: string,
  actor: AuditActor,
) => Promise<boolean>

// Apart from the logins': these hold a connection while they wait, and logins wait for one while they hold a slot.
// Together fewer than the pool has.
const AT_ONCE = { concurrency: 2, queue: 3 }

type Dependencies = {
  db: ServerDetails
  throttle: Throttle
  clock: Clock
  refusals: Refusals
  verifySecondFactorCode: VerifySecondFactorCode
}

/** Proof that it is still the person who logged in, before their account changes hands in all but name. */
export function createConfirmation({ db, throttle, clock, refusals, verifySecondFactorCode }: Dependencies) {
  const slots = new Slots(AT_ONCE)

  /**
   * Tries what was given. It counts, or is forgotten, on a connection of its own: whatever becomes of the transaction
   * that it is tried in.
   */
  const prove = async (tx: Transaction, subject: Subject, right: () => Promise<boolean>) => {
    // Refused here, so that whoever has to wait takes nobody's place.
    await throttle.admit([subject], confirmationErrors.throttled, tx)
    await slots.run(async () => {
      await throttle.attempt(subject, confirmationErrors.throttled)
      if (!(await right())) throw confirmationErrors.failed()
      await throttle.forget(db, [subject])
    })
  }

  const assertRecentLogin = async (tx: Transaction, { sessionId }: Caller) => {
    const at = await findAuthenticatedAt(tx, sessionId)
    if (!at || at.getTime() + RECENT_LOGIN_MS <= clock.now().getTime()) {
      throw confirmationErrors.required('Log in again, then repeat this within ten minutes.')
    }
  }

  const assert = async (tx: Transaction, caller: Caller, { password, code }: Given): Promise<void> => {
    const subject: Subject = { kind: 'confirmation', name: caller.userId }
    const hash = await findPasswordHash(tx, caller.userId)
    if (hash !== undefined) {
      if (password === undefined) throw confirmationErrors.required('Give your password.')
      return prove(tx, subject, () => verifyPassword(password, hash))
    }
    const factors = await secondFactorsOf(tx, caller.userId)
    const takesCode = factors.includes('totp') || (code !== undefined && factors.includes('recoveryCode'))
    if (!takesCode) return assertRecentLogin(tx, caller)
    if (code === undefined) throw confirmationErrors.required('Give a code of your authenticator app.')
    return prove(tx, subject, () => verifySecondFactorCode(tx, caller.userId, code, actorOf(caller)))
  }

  return {
    /**
     * The password where the account has one; else a code, where it has an authenticator app; else the login must have
     * been within the last ten minutes. In the transaction of the change that it is for, before it locks anything.
     * @throws confirmation.required, .failed (403), .throttled (429), password.busy (503)
     */
    async assert(tx: Transaction, caller: Caller, given: Given): Promise<void> {
      try {
        await assert(tx, caller, given)
      } catch (error) {
        if (error instanceof AppError && error.status < 500 && error.code !== 'confirmation.required') {
          refusals.confirmation(caller, error.code)
        }
        throw error
      }
    },
  }
}

export type Confirmation = ReturnType<typeof createConfirmation>

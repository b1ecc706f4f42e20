import type { Authenticated, CodeLogin } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Visitor } from '@conntext/http'
import { AppError } from '@conntext/kernel'
import type { LoginCompletion, WaitingLogin } from '../login/complete.ts'
import { loginErrors } from '../login/errors.ts'
import type { Refusals } from '../refusals.ts'
import type { AuthenticationMethod } from '../sessions/service.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import type { SecondFactorCodes } from './codes.ts'

/** How often the second step of one login may be tried. */
const TRIES = 5

type Dependencies = {
  db: ServerDetails
  validation: ValidationTokens
  throttle: Throttle
  completion: LoginCompletion
  refusals: Refusals
  codes: SecondFactorCodes
}

/** Proves the second factor in the login's own transaction. */
type Proof = (tx: Transaction, userId: string) => Promise<boolean>

/** The second step of a login that waits for it. */
export function createSecondStep({ db, validation, throttle, completion, refusals, codes }: Dependencies) {
  /** Tries it once, and ends the waiting with a success. @throws login.secondFactorFailed (401) */
  const tryOnce = async (mfaToken: string, visitor: Visitor, by: AuthenticationMethod, proof: Proof) => {
    const waiting = await validation.attempt<WaitingLogin>(db, 'mfaLogin', mfaToken, TRIES)
    if (!waiting?.userId) throw loginErrors.secondFactorFailed()
    const { userId, data } = waiting
    const proven = { userId, methods: [...data.methods, by, 'mfa' as const] }
    const answer = await completion.complete(proven, visitor, async (tx) => {
      const right = await proof(tx, userId)
      if (!right || !(await validation.take(tx, 'mfaLogin', mfaToken))) throw loginErrors.secondFactorFailed()
    })
    if ('mfaRequired' in answer) throw new Error('a login with two factors was asked for a second one')
    return answer
  }

  /** Codes can be guessed: their tries are counted by account too, however many logins they are made in. */
  const byCode = async ({ mfaToken }: CodeLogin, visitor: Visitor, by: AuthenticationMethod, proof: Proof) => {
    const account = (await validation.find(db, 'mfaLogin', mfaToken))?.userId ?? null
    const address = addressSubject('address', visitor.address)
    try {
      await throttle.admit(address, loginErrors.throttled)
      if (account === null) throw loginErrors.secondFactorFailed()
      const guesser = { kind: 'secondFactor', name: account } as const
      await throttle.attempt(guesser, loginErrors.throttled)
      return await tryOnce(mfaToken, visitor, by, async (tx, userId) => {
        const right = await proof(tx, userId)
        if (right) await throttle.forget(tx, [guesser])
        return right
      })
    } catch (error) {
      if (error instanceof AppError && error.status < 500) {
        if (error.status === 401) await throttle.failed(address)
        refusals.login(visitor, account, error.code)
      }
      throw error
    }
  }

  return {
    tryOnce,

    /**
     * A code of the authenticator app.
     * @throws login.secondFactorFailed (401), the same for a wrong code and for a token that is wrong, used up, or was
     * tried too often; login.throttled (429)
     */
    totp: (input: CodeLogin, visitor: Visitor): Promise<Authenticated> =>
      byCode(input, visitor, 'otp', (tx, userId) => codes.verifyTotp(tx, userId, input.code)),

    /** A recovery code. @throws as `totp` */
    recoveryCode: (input: CodeLogin, visitor: Visitor): Promise<Authenticated> =>
      byCode(input, visitor, 'otp', (tx, userId) =>
        codes.verifyRecoveryCode(tx, userId, input.code, { ...actorOf(visitor), kind: 'user', id: userId }),
      ),
  }
}

export type SecondStep = ReturnType<typeof createSecondStep>

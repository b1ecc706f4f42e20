import type {
  Authenticated,
  PasskeyLogin,
  PasskeyLoginRequest,
  PasskeyLoginResponse,
  PasskeyLoginStart,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Visitor } from '@conntext/http'
import { AppError, type Clock, type Logger } from '@conntext/kernel'
import type { LoginCompletion } from '../login/complete.ts'
import { loginErrors } from '../login/errors.ts'
import type { SecondStep } from '../mfa/second-step.ts'
import type { Refusals } from '../refusals.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import {
  CEREMONY_MS,
  type Ceremony,
  requestOptions,
  userHandle,
  verifyLogin,
  type WebAuthnSettings,
} from './ceremonies.ts'
import { passkeyErrors } from './errors.ts'
import { findCredential, listCredentials, notePasskeyUse, type PasskeyRow } from './queries.ts'

type Dependencies = {
  db: ServerDetails
  clock: Clock
  log: Logger
  validation: ValidationTokens
  throttle: Throttle
  completion: LoginCompletion
  secondStep: SecondStep
  refusals: Refusals
  webauthn: WebAuthnSettings
}

/** A login's ceremony: with a token it is the second step of the login that waits for it. */
type LoginCeremony = Ceremony & { mfaToken?: string }

/** Logins by passkey: alone, or as the second factor. */
export function createPasskeyLogin(deps: Dependencies) {
  const { db, clock, log, validation, throttle, completion, secondStep, refusals, webauthn } = deps

  /** Runs a try of a stranger's, whom failures slow down and put on record. */
  const tried = async <T>(visitor: Visitor, attempt: (by: { userId: string | null }) => Promise<T>): Promise<T> => {
    const address = addressSubject('address', visitor.address)
    const by = { userId: null as string | null }
    try {
      await throttle.admit(address, loginErrors.throttled)
      return await attempt(by)
    } catch (error) {
      if (error instanceof AppError && error.status < 500) {
        if (error.status === 401) await throttle.failed(address)
        refusals.login(visitor, by.userId, error.code)
      }
      throw error
    }
  }

  /** Notes the use that was verified, in the login's transaction. */
  const use = async (tx: Transaction, { id }: PasskeyRow, said: { counter: number; backedUp: boolean }) => {
    if (!(await notePasskeyUse(tx, { id, ...said, now: clock.now() }))) throw passkeyErrors.copied()
  }

  /** What the authenticator said, verified; undefined for what is not to be believed. */
  const verify = async (ceremony: Ceremony, input: Parameters<typeof verifyLogin>[2], visitor: Visitor) => {
    try {
      return await verifyLogin(webauthn, ceremony, input)
    } catch (cause) {
      log.info({ err: cause, requestId: visitor.requestId }, 'a login by passkey was not verified')
      return undefined
    }
  }

  const asSecondFactor = async (
    owner: string,
    mfaToken: string,
    ceremony: Ceremony,
    told: Told,
  ): Promise<Authenticated> =>
    secondStep.tryOnce(mfaToken, told.visitor, 'hwk', async (tx, userId) => {
      const { passkey, response, visitor } = told
      if (passkey?.userId !== userId || owner !== userId) return false
      const said = await verify(ceremony, { passkey, response, userVerification: false }, visitor)
      if (said) await use(tx, passkey, said)
      return said !== undefined
    })

  const alone = async (ceremony: Ceremony, { passkey, response, visitor }: Told): Promise<Authenticated> => {
    if (!passkey || response.response.userHandle !== userHandle(passkey.userId)) throw loginErrors.passkeyFailed()
    const said = await verify(ceremony, { passkey, response, userVerification: true }, visitor)
    if (!said) throw loginErrors.passkeyFailed()
    const proven = { userId: passkey.userId, methods: ['hwk' as const, 'mfa' as const] }
    const answer = await completion.complete(proven, visitor, (tx) => use(tx, passkey, said))
    if ('mfaRequired' in answer) throw new Error('a login with two factors was asked for a second one')
    return answer
  }

  return {
    /**
     * @throws login.secondFactorFailed (401) for a token that is wrong or used up, or whose account has no passkey;
     * login.throttled (429)
     */
    start: ({ mfaToken }: PasskeyLoginRequest, visitor: Visitor): Promise<PasskeyLoginStart> =>
      tried(visitor, async (by) => {
        const waiting = mfaToken === undefined ? undefined : await validation.find(db, 'mfaLogin', mfaToken)
        by.userId = waiting?.userId ?? null
        const allowed = by.userId === null ? undefined : await listCredentials(db, by.userId)
        if (mfaToken !== undefined && !allowed?.length) throw loginErrors.secondFactorFailed()
        const options = requestOptions(webauthn, allowed)
        const data: LoginCeremony = { challenge: options.challenge, ...(mfaToken === undefined ? {} : { mfaToken }) }
        const token = { purpose: 'passkeyLogin', lifetimeMs: CEREMONY_MS, data } as const
        const ofAccount = by.userId === null ? {} : { userId: by.userId }
        return { ceremonyToken: await validation.issue(db, { ...token, ...ofAccount }), options }
      }),

    /**
     * @throws login.passkeyFailed, login.secondFactorFailed (401), the same whatever was wrong; passkey.copied (401) when
     * all was right but the authenticator's counter; login.throttled (429)
     */
    finish: ({ ceremonyToken, response }: PasskeyLogin, visitor: Visitor): Promise<Authenticated> =>
      tried(visitor, async (by) => {
        const found = await validation.take<LoginCeremony>(db, 'passkeyLogin', ceremonyToken)
        if (!found) throw loginErrors.passkeyFailed()
        const passkey = await findCredential(db, Buffer.from(response.id, 'base64url'))
        const told = { passkey, response, visitor }
        by.userId = found.userId ?? passkey?.userId ?? null
        const { mfaToken, ...ceremony } = found.data
        if (mfaToken === undefined) return alone(ceremony, told)
        return asSecondFactor(found.userId!, mfaToken, ceremony, told)
      }),
  }
}

/** Whom the authenticator claims to speak for, and what it said. */
type Told = { passkey: PasskeyRow | undefined; response: PasskeyLoginResponse; visitor: Visitor }

export type PasskeyLogins = ReturnType<typeof createPasskeyLogin>

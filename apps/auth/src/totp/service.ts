import {
  auditFor,
  type Confirmation as Given,
  type RecoveryCodes,
  type TotpConfirmed,
  type TotpEnrolment,
} from '@conntext/contracts'
import { newServerSettings } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { findSettings } from '../authority/queries.ts'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { totpContext } from '../mfa/codes.ts'
import { mfaErrors } from '../mfa/errors.ts'
import type { FactorChanges } from '../mfa/factor-changes.ts'
import type { Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { newTotpSecret, totpCodeIn, totpStep, totpUri } from './codes.ts'
import { totpErrors } from './errors.ts'
import { confirmTotp, deleteTotp, findTotp, putPendingTotp } from './queries.ts'

const audit = auditFor('auth')

/** How long a secret waits for its first code. */
export const PENDING_TOTP_MS = 30 * 60_000

type Dependencies = {
  clock: Clock
  keyring: Keyring
  changes: Changes
  confirmation: Confirmation
  factors: FactorChanges
  throttle: Throttle
}

/** The authenticator app: TOTP (RFC 6238). */
export function createTotp({ clock, keyring, changes, confirmation, factors, throttle }: Dependencies) {
  /** The step of a code for the secret that waits for it. */
  const pendingStep = async (tx: Transaction, userId: string, text: string): Promise<number> => {
    const row = await findTotp(tx, userId)
    const since = clock.now().getTime() - PENDING_TOTP_MS
    if (!row || row.confirmedAt !== null || row.createdAt.getTime() < since) throw totpErrors.notEnrolled()
    const secret = await keyring.open({ dataKeyId: row.dataKeyId, sealed: row.secret }, totpContext(userId))
    const code = totpCodeIn(text)
    const step = code === undefined ? undefined : totpStep(secret.toString(), code, clock.now())
    if (step === undefined) throw totpErrors.codeWrong()
    return step
  }

  return {
    /**
     * Begins: the secret counts once a code of it has been confirmed.
     * @throws totp.alreadyEnabled (409), and what a confirmation does
     */
    async enrol(caller: Caller, given: Given): Promise<TotpEnrolment> {
      const { userId } = caller
      const secret = newTotpSecret()
      const { label, issuer } = await factors.change(caller, async (tx) => {
        await confirmation.assert(tx, caller, given)
        const account = await factors.lock(tx, caller)
        if ((await findTotp(tx, userId))?.confirmedAt) throw totpErrors.alreadyEnabled()
        const { sealed, dataKeyId } = keyring.seal(secret, totpContext(userId))
        await putPendingTotp(tx, { userId, secret: sealed, dataKeyId, createdAt: clock.now() })
        const { name } = (await findSettings(tx)) ?? newServerSettings
        return { label: account.username, issuer: name }
      })
      return { secret, uri: totpUri(secret, { label, issuer }) }
    },

    /** @throws totp.notEnrolled (409), .codeWrong (422), mfa.throttled (429) */
    async confirm(caller: Caller, code: string): Promise<TotpConfirmed> {
      const { userId } = caller
      const guesser = { kind: 'secondFactor', name: userId } as const
      await throttle.attempt(guesser, mfaErrors.throttled)
      const { recoveryCodes } = await factors.change(caller, async (tx) => {
        await factors.lock(tx, caller)
        const step = await pendingStep(tx, userId, code)
        const gained = await factors.gain(tx, caller)
        await confirmTotp(tx, { userId, step, now: clock.now() })
        await throttle.forget(tx, [guesser])
        await changes.owe(tx, { audit: [audit('mfa.enabled', actorOf(caller), userId, { method: 'totp' })] })
        return gained
      })
      return { recoveryCodes }
    },

    /** @throws totp.notEnabled, mfa.required (409), and what a confirmation does */
    async disable(caller: Caller, given: Given): Promise<void> {
      await factors.change(caller, async (tx) => {
        await confirmation.assert(tx, caller, given)
        const account = await factors.lock(tx, caller)
        if (!(await deleteTotp(tx, caller.userId))) throw totpErrors.notEnabled()
        await factors.lose(tx, caller, account)
        await changes.owe(tx, { audit: [audit('mfa.disabled', actorOf(caller), caller.userId, { method: 'totp' })] })
        return {}
      })
    },

    /** New recovery codes in the place of all old ones. @throws mfa.noFactor (409), and what a confirmation does */
    async renewRecoveryCodes(caller: Caller, given: Given): Promise<RecoveryCodes> {
      return factors.change(caller, async (tx) => {
        await confirmation.assert(tx, caller, given)
        await factors.lock(tx, caller)
        return { recoveryCodes: await factors.renewCodes(tx, caller) }
      })
    },
  }
}

export type Totp = ReturnType<typeof createTotp>

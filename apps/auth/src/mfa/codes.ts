import { type AuditActor, auditFor } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import type { Changes } from '../changes.ts'
import type { OutgoingMail } from '../mail/outgoing.ts'
import { recoveryCodeUsedMail } from '../mail/texts.ts'
import { countRecoveryCodes, takeRecoveryCode } from '../recovery-codes/queries.ts'
import { recoveryCodeIn } from '../recovery-codes/recovery-codes.ts'
import { totpCodeIn, totpStep } from '../totp/codes.ts'
import { findTotp, takeTotpStep } from '../totp/queries.ts'
import type { Transaction } from '../transaction.ts'
import { lockAccount } from './queries.ts'

const audit = auditFor('auth')

/** What a person's TOTP secret is sealed for. */
export const totpContext = (userId: string) => `totp:${userId}`

type Dependencies = { clock: Clock; keyring: Keyring; changes: Changes; mail: OutgoingMail }

/**
 * Codes that prove a second factor. Each is taken once, whatever it is taken for; a wrong one is false. The account is
 * locked before what its codes are checked against, as by everybody else who needs both.
 */
export function createSecondFactorCodes({ clock, keyring, changes, mail }: Dependencies) {
  const hash = keyring.hasher('recovery-codes')
  const recoveryHash = (userId: string, code: string) => hash(`${userId}:${code}`)

  /** A code of the authenticator app. */
  const verifyTotp = async (tx: Transaction, userId: string, text: string): Promise<boolean> => {
    const code = totpCodeIn(text)
    if (code === undefined) return false
    await lockAccount(tx, userId)
    const row = await findTotp(tx, userId)
    if (!row?.confirmedAt) return false
    const secret = await keyring.open({ dataKeyId: row.dataKeyId, sealed: row.secret }, totpContext(userId))
    const step = totpStep(secret.toString(), code, clock.now())
    return step !== undefined && takeTotpStep(tx, userId, step)
  }

  /** A recovery code; its use is recorded as the actor's. */
  const verifyRecoveryCode = async (
    tx: Transaction,
    userId: string,
    text: string,
    actor: AuditActor,
  ): Promise<boolean> => {
    const code = recoveryCodeIn(text)
    if (code === undefined) return false
    const account = await lockAccount(tx, userId)
    const taken = await takeRecoveryCode(tx, { hash: recoveryHash(userId, code), userId, now: clock.now() })
    if (!account || !taken) return false
    const left = await countRecoveryCodes(tx, userId)
    await changes.owe(tx, { audit: [audit('mfa.recoveryCodeUsed', actor, userId, { left })] })
    const { username, email } = account
    if (email !== null) await mail.owe(tx, recoveryCodeUsedMail({ username, email }, left))
    return true
  }

  return {
    recoveryHash,
    verifyTotp,
    verifyRecoveryCode,

    /** Either of them. The caller throttles, and counts what failed outside the transaction. */
    verifySecondFactorCode: async (
      tx: Transaction,
      userId: string,
      code: string,
      actor: AuditActor,
    ): Promise<boolean> => (await verifyTotp(tx, userId, code)) || (await verifyRecoveryCode(tx, userId, code, actor)),
  }
}

export type SecondFactorCodes = ReturnType<typeof createSecondFactorCodes>

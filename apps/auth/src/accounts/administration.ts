import { auditFor, systemActor } from '@conntext/contracts'
import { authOutbox, type ServerDetails } from '@conntext/db-server-details'
import type { Clock } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { enqueue } from '@conntext/outbox'
import { auditEntry } from '../changes.ts'
import type { ResetData } from '../passwords/resets.ts'
import type { Transaction } from '../transaction.ts'
import { createValidationTokens } from '../validation/tokens.ts'
import { accountErrors } from './errors.ts'
import { deleteFactors, type ListedAccount, listAccounts, lockAccountByName } from './queries.ts'

/** Longer than a mail's: the operator has to pass it on. */
const RESET_MS = 24 * 60 * 60_000

const LISTED_AT_ONCE = 500

const audit = auditFor('auth')

type Dependencies = { db: ServerDetails; keyring: Keyring; clock: Clock }

/**
 * What the operator of the server may do to an account from its command line, where nobody has logged in: the way back
 * for an owner who has lost everything. Recorded as the system's.
 */
export function createAccountAdministration({ db, keyring, clock }: Dependencies) {
  const validation = createValidationTokens({ db, keyring, clock })

  const accountOf = async (tx: Transaction, username: string) => {
    const account = await lockAccountByName(tx, username)
    if (!account || account.standing === 'deleted') throw accountErrors.notFound()
    if (account.kind === 'bot') throw accountErrors.notForUse('It is a bot.')
    if (account.standing === 'banned') throw accountErrors.notForUse('They are banned.')
    return account
  }

  const record = (tx: Transaction, events: ReturnType<typeof audit>[]) =>
    enqueue(
      tx,
      authOutbox,
      events.map((event) => auditEntry(keyring, event)),
    )

  return {
    /** All accounts that there are, in the order in which they were made, a page at a time. */
    async *list(): AsyncGenerator<ListedAccount> {
      for (let after: string | undefined; ; ) {
        const page = await listAccounts(db, { after, limit: LISTED_AT_ONCE })
        yield* page
        if (page.length < LISTED_AT_ONCE) return
        after = page.at(-1)!.id
      }
    },

    /**
     * A single-use token that sets a new password; those that were made before are worth nothing any more.
     * @throws account.notFound, .notForUse
     */
    resetPassword: (username: string): Promise<{ username: string; token: string; expiresAt: Date }> =>
      db.transaction(async (tx) => {
        const account = await accountOf(tx, username)
        await validation.endAll(tx, account.id, 'passwordReset')
        const expiresAt = new Date(clock.now().getTime() + RESET_MS)
        const token = await validation.issue(tx, {
          purpose: 'passwordReset',
          lifetimeMs: RESET_MS,
          userId: account.id,
          data: { email: account.email } satisfies ResetData,
        })
        await record(tx, [audit('user.passwordResetRequested', systemActor, account.id, {})])
        return { username: account.username, token, expiresAt }
      }),

    /**
     * Takes the authenticator app, the passkeys and the recovery codes from an account: from the next login on the
     * password is enough. Answers what there was.
     * @throws account.notFound, .notForUse
     */
    disableMfa: (username: string): Promise<{ username: string; totp: boolean; passkeys: number }> =>
      db.transaction(async (tx) => {
        const account = await accountOf(tx, username)
        const { totp, passkeyIds } = await deleteFactors(tx, account.id)
        await record(tx, [
          ...(totp ? [audit('mfa.disabled', systemActor, account.id, { method: 'totp' })] : []),
          ...passkeyIds.map((id) => audit('passkey.removed', systemActor, id, { userId: account.id })),
        ])
        return { username: account.username, totp, passkeys: passkeyIds.length }
      }),
  }
}

export type AccountAdministration = ReturnType<typeof createAccountAdministration>

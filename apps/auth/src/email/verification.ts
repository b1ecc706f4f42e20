import { auditFor } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller, type Visitor } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { OutgoingMail } from '../mail/outgoing.ts'
import { verificationMail } from '../mail/texts.ts'
import type { Subject, Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser, lockOwnUser, updateUser } from '../users/queries.ts'
import { emailKey } from '../users/users.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { emailErrors } from './errors.ts'

export const EMAIL_VERIFICATION_MS = 24 * 60 * 60_000

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  changes: Changes
  validation: ValidationTokens
  mail: OutgoingMail
  throttle: Throttle
  clock: Clock
  publicUrl: string
}

/** A token is good for the address that it was sent to, and no other that the account may have by then. */
type Data = { email: string }

/** Proof that an address is read by whoever gave it. */
export function createEmailVerification({ db, changes, validation, mail, throttle, clock, publicUrl }: Dependencies) {
  const requestVerification = async (tx: Transaction, userId: string, email: string): Promise<void> => {
    // By the address, too: nobody's mailbox is to be filled from here.
    const subjects: Subject[] = [
      { kind: 'mail', name: userId },
      { kind: 'mail', name: emailKey(email) },
    ]
    await throttle.admit(subjects, emailErrors.throttled, tx)
    throttle.failedSoon(subjects)
    const { username } = (await findOwnUser(tx, userId))!
    await validation.endAll(tx, userId, 'emailVerification')
    const data: Data = { email }
    const token = await validation.issue(tx, {
      purpose: 'emailVerification',
      lifetimeMs: EMAIL_VERIFICATION_MS,
      userId,
      data,
    })
    await mail.owe(tx, verificationMail({ username, email }, { publicUrl, token }))
  }

  return {
    /**
     * Sends the account a token for the address, and ends those of before, in the transaction that gives it the address.
     * Nudge the outbox (`changes.settled`) after the commit.
     * @throws email.throttled (429)
     */
    requestVerification,

    /** @throws email.none, .alreadyVerified (409), .throttled (429) */
    async request(caller: Caller): Promise<void> {
      await db.transaction(async (tx) => {
        const row = await lockOwnUser(tx, caller.userId)
        if (!row) throw accessErrors.unauthenticated()
        if (row.email === null) throw emailErrors.none()
        if (row.emailVerifiedAt !== null) throw emailErrors.alreadyVerified()
        await requestVerification(tx, caller.userId, row.email)
      })
      await changes.settled()
    },

    /** @throws email.tokenInvalid (400), the same for wrong, used and ended ones and those for another address */
    async verify(token: string, visitor: Visitor): Promise<void> {
      await db.transaction(async (tx) => {
        // The account before its tokens, as whoever changes it: in the other order two would wait for each other.
        const known = await validation.find<Data>(tx, 'emailVerification', token)
        const row = known?.userId ? await lockOwnUser(tx, known.userId) : undefined
        const found = await validation.take<Data>(tx, 'emailVerification', token)
        if (!found || row?.email !== found.data.email) throw emailErrors.tokenInvalid()
        await updateUser(tx, row.id, { emailVerifiedAt: clock.now() })
        const actor = { ...actorOf(visitor), kind: 'user', id: row.id } as const
        await changes.owe(tx, { audit: [audit('user.emailVerified', actor, row.id, {})] })
      })
      await changes.settled()
    },
  }
}

export type EmailVerificationService = ReturnType<typeof createEmailVerification>

import type { LoginAnswer, OwnUser } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Visitor } from '@conntext/http'
import type { Changes } from '../changes.ts'
import { secondFactorsOf } from '../mfa/factors.ts'
import type { BanExpiry } from '../moderation/expiry.ts'
import { type BanRow, banOf } from '../moderation/queries.ts'
import type { Opened, Proven, Sessions } from '../sessions/service.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser, lockUser } from '../users/queries.ts'
import { toOwnUser } from '../users/users.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { loginErrors } from './errors.ts'

/** How long somebody may take for the second factor. */
export const MFA_LOGIN_MS = 10 * 60_000

/** What is known of a login that waits for its second factor. */
export type WaitingLogin = { methods: Proven['methods'] }

type Dependencies = {
  db: ServerDetails
  sessions: Sessions
  validation: ValidationTokens
  changes: Changes
  expiry: Pick<BanExpiry, 'endOf'>
}

/** The one way in: every kind of login ends here, once it has proved who somebody is. */
export function createLoginCompletion({ db, sessions, validation, changes, expiry }: Dependencies) {
  /** Opens the session, or says which second factor is to come: `mfa` among the methods says that it has. */
  const proceed = async (tx: Transaction, proven: Proven, visitor: Visitor): Promise<Proceeding> => {
    const row = await findOwnUser(tx, proven.userId)
    const ban = row ? undefined : await banOf(tx, proven.userId)
    if (!row && !ban) throw loginErrors.failed()
    const factors = proven.methods.includes('mfa') ? [] : await secondFactorsOf(tx, proven.userId)
    if (factors.length === 0) {
      // Only now: nobody else is to learn who is banned.
      return row ? { user: toOwnUser(row), opened: await sessions.open(tx, proven, visitor) } : { ban: ban! }
    }
    const data: WaitingLogin = { methods: proven.methods }
    const waiting = { purpose: 'mfaLogin', lifetimeMs: MFA_LOGIN_MS, userId: proven.userId, data } as const
    return { mfaToken: await validation.issue(tx, waiting), factors }
  }

  return {
    /**
     * `within` is what else the login does, in the same transaction.
     * @throws login.failed (401) when the account is no longer there to be used; login.banned (403)
     */
    async complete(
      proven: Proven,
      visitor: Visitor,
      within: (tx: Transaction) => Promise<void> = async () => {},
    ): Promise<LoginAnswer> {
      await expiry.endOf(proven.userId)
      const outcome = await db.transaction(async (tx) => {
        // A ban or a new password that is on its way has ended all sessions, or ends this one too.
        await lockUser(tx, proven.userId)
        await within(tx)
        return proceed(tx, proven, visitor)
      })
      await changes.settled('opened' in outcome ? { revoked: outcome.opened.ended } : {})
      if ('ban' in outcome) throw loginErrors.banned(banDetail(outcome.ban))
      if ('mfaToken' in outcome) {
        return { mfaRequired: true, mfaToken: outcome.mfaToken, methods: outcome.factors }
      }
      return sessions.answer(outcome.user, outcome.opened)
    },
  }
}

type Proceeding =
  | { user: OwnUser; opened: Opened }
  | { mfaToken: string; factors: Awaited<ReturnType<typeof secondFactorsOf>> }
  | { ban: BanRow }

const banDetail = ({ expiresAt, reason }: BanRow): string =>
  [expiresAt === null ? 'For good.' : `Until ${expiresAt.toISOString()}.`, ...(reason === null ? [] : [reason])].join(
    ' ',
  )

export type LoginCompletion = ReturnType<typeof createLoginCompletion>

import { auditFor, type PasswordChange } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { confirmationErrors } from '../confirmation/errors.ts'
import { findPasswordHash } from '../confirmation/queries.ts'
import type { OutgoingMail } from '../mail/outgoing.ts'
import { passwordChangedMail } from '../mail/texts.ts'
import { endSessions } from '../sessions/ending.ts'
import type { Transaction } from '../transaction.ts'
import { lockOwnUser } from '../users/queries.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { hashPassword } from './passwords.ts'
import { setPasswordHash } from './queries.ts'
import { PROVEN, type Slots } from './slots.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  slots: Slots
  clock: Clock
  changes: Changes
  confirmation: Confirmation
  validation: ValidationTokens
  mail: OutgoingMail
}

export type PasswordOwner = { id: string; username: string; email: string | null }

/** Sets the password, ends what was begun with the old one, and tells the account's owner by mail. */
export async function replacePassword(
  tx: Transaction,
  { clock, validation, mail }: Pick<Dependencies, 'clock' | 'validation' | 'mail'>,
  { owner, passwordHash }: { owner: PasswordOwner; passwordHash: string },
): Promise<void> {
  await setPasswordHash(tx, owner.id, { passwordHash, changedAt: clock.now() })
  for (const purpose of ['passwordReset', 'mfaLogin'] as const) await validation.endAll(tx, owner.id, purpose)
  const { username, email } = owner
  if (email !== null) await mail.owe(tx, passwordChangedMail({ username, email }))
}

export function createPasswords(deps: Dependencies) {
  const { db, slots, clock, changes, confirmation } = deps

  return {
    /**
     * Sets a new password, or a first one. All other sessions end, API tokens stay.
     * @throws what `confirmation.assert` throws; confirmation.failed (403) also when the password was changed meanwhile
     */
    async change(caller: Caller, { newPassword, currentPassword, code }: PasswordChange): Promise<void> {
      const given = {
        ...(currentPassword === undefined ? {} : { password: currentPassword }),
        ...(code === undefined ? {} : { code }),
      }
      const before = await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, given)
        return findPasswordHash(tx, caller.userId)
      })
      // Between two transactions: no connection is to wait for a core's turn.
      const passwordHash = await slots.run(() => hashPassword(newPassword), PROVEN)
      const revoked = await db.transaction(async (tx) => {
        const owner = await lockOwnUser(tx, caller.userId)
        if (!owner) throw accessErrors.unauthenticated()
        if ((await findPasswordHash(tx, caller.userId)) !== before) throw confirmationErrors.failed()
        await replacePassword(tx, deps, { owner, passwordHash })
        const actor = actorOf(caller)
        await changes.owe(tx, { audit: [audit('user.passwordChanged', actor, owner.id, { by: 'user' })] })
        const others = { userId: owner.id, except: caller.sessionId, actor, by: 'passwordChanged' }
        return endSessions(tx, { changes, clock }, others)
      })
      await changes.settled({ revoked })
    },
  }
}

export type Passwords = ReturnType<typeof createPasswords>

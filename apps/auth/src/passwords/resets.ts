import { auditFor, type PasswordReset } from '@conntext/contracts'
import { authOutbox, type ServerDetails } from '@conntext/db-server-details'
import { actorOf, requestErrors, type Visitor } from '@conntext/http'
import { AppError, type Clock, newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { type Deliver, enqueue } from '@conntext/outbox'
import type { Changes } from '../changes.ts'
import { emailErrors } from '../email/errors.ts'
import { accountSubjects } from '../login/subjects.ts'
import type { OutgoingMail } from '../mail/outgoing.ts'
import { passwordResetMail } from '../mail/texts.ts'
import { endSessions } from '../sessions/ending.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import { lockOwnUser, lockUser } from '../users/queries.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { passwordErrors } from './errors.ts'
import { hashPassword } from './passwords.ts'
import { findMailAccount } from './queries.ts'
import { replacePassword } from './service.ts'
import { PROVEN, type Slots } from './slots.ts'

export const PASSWORD_RESET_MS = 30 * 60_000

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  slots: Slots
  clock: Clock
  changes: Changes
  keyring: Keyring
  throttle: Throttle
  validation: ValidationTokens
  mail: OutgoingMail
  publicUrl: string
}

/** A token is good for as long as the account has the address that it was sent to, or still none. */
export type ResetData = { email: string | null }

/** What somebody typed, and who they are: sealed, for it waits in the database. */
type Request = { login: string; visitor: Visitor }
type SealedRequest = { dataKeyId: string; request: string }

const context = (id: string) => `password-reset:${id}`

/** Password resets by mail, for who cannot log in. */
export function createPasswordResets(deps: Dependencies) {
  const { db, slots, clock, changes, keyring, throttle, validation, mail, publicUrl } = deps

  /** Mails a token to the account's own address, if there is such an account; whoever asked is not told. */
  const issue = async ({ login, visitor }: Request): Promise<void> => {
    const account = await findMailAccount(db, login)
    if (!account || !(await mayBeMailed(account.id))) return
    await db.transaction(async (tx) => {
      await lockUser(tx, account.id)
      await validation.endAll(tx, account.id, 'passwordReset')
      const data: ResetData = { email: account.email }
      const token = await validation.issue(tx, {
        purpose: 'passwordReset',
        lifetimeMs: PASSWORD_RESET_MS,
        userId: account.id,
        data,
      })
      await mail.owe(tx, passwordResetMail(account, { publicUrl, token }))
      const record = audit('user.passwordResetRequested', actorOf(visitor), account.id, {})
      await changes.owe(tx, { audit: [record] })
    })
    await changes.settled()
  }

  const mayBeMailed = async (userId: string): Promise<boolean> => {
    try {
      await throttle.attempt({ kind: 'resetMail', name: userId }, emailErrors.throttled)
      return true
    } catch (error) {
      if (error instanceof AppError) return false
      throw error
    }
  }

  const handle: Deliver = async (batch) => {
    for (const { id, payload } of batch) {
      const { dataKeyId, request } = payload as SealedRequest
      const opened = await keyring.open({ dataKeyId, sealed: Buffer.from(request, 'base64') }, context(id))
      await issue(JSON.parse(opened.toString()) as Request)
    }
  }

  return {
    /** For the outbox relay: the topic `passwordReset`. */
    handle,

    /**
     * Takes the request down. Who has an account is looked up later: so the answer and its time are the same for all.
     * @throws request.invalid (422); password.resetThrottled (429) by the address that it comes from
     */
    async request(login: string, visitor: Visitor): Promise<void> {
      // No name has it, and the database refuses to look for it: later, nobody could be told.
      if (login.includes('\0')) {
        throw requestErrors.invalid({ errors: [{ path: '/body/login', message: 'must not contain a NUL' }] })
      }
      const from = addressSubject('passwordReset', visitor.address)
      await throttle.admit(from, passwordErrors.resetThrottled)
      await throttle.failed(from)
      const id = newId()
      const request: Request = { login, visitor }
      const { dataKeyId, sealed } = keyring.seal(JSON.stringify(request), context(id))
      const payload: SealedRequest = { dataKeyId, request: Buffer.from(sealed).toString('base64') }
      await enqueue(db, authOutbox, [{ id, topic: 'passwordReset', payload }])
      await changes.settled()
    },

    /**
     * Sets a new password and ends all sessions. Logs nobody in, and takes no second factor away.
     * @throws password.resetTokenInvalid (400), the same for wrong, used and ended ones; password.busy (503)
     */
    async reset({ token, newPassword }: PasswordReset, visitor: Visitor): Promise<void> {
      // A token that is made up must not cost a core's time.
      const known = await validation.find<ResetData>(db, 'passwordReset', token)
      if (!known?.userId) throw passwordErrors.resetTokenInvalid()
      const { userId } = known
      const passwordHash = await slots.run(() => hashPassword(newPassword), PROVEN)
      const revoked = await db.transaction(async (tx) => {
        // The account before its tokens, as whoever changes it: in the other order two would wait for each other.
        const owner = await lockOwnUser(tx, userId)
        const found = await validation.take<ResetData>(tx, 'passwordReset', token)
        if (!found || owner?.email !== found.data.email) throw passwordErrors.resetTokenInvalid()
        await replacePassword(tx, deps, { owner, passwordHash })
        await throttle.forget(tx, accountSubjects(owner))
        const actor = { ...actorOf(visitor), kind: 'user', id: owner.id } as const
        await changes.owe(tx, { audit: [audit('user.passwordChanged', actor, owner.id, { by: 'reset' })] })
        return endSessions(tx, { changes, clock }, { userId: owner.id, actor, by: 'passwordReset' })
      })
      await changes.settled({ revoked })
    },
  }
}

export type PasswordResets = ReturnType<typeof createPasswordResets>

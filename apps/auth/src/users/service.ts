import {
  auditFor,
  changedFields,
  type MessagingPort,
  type OwnUser,
  SERVER_STREAM,
  type User,
  type UserPatch,
} from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import { type Changes, streamEvent } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { emailErrors } from '../email/errors.ts'
import type { EmailVerificationService } from '../email/verification.ts'
import type { OutgoingMail } from '../mail/outgoing.ts'
import { emailChangedMail } from '../mail/texts.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { userErrors } from './errors.ts'
import { pictureHolder } from './pictures.ts'
import { type Profile, type ProfileChange, profileChange, profileOf } from './profile.ts'
import { findOwnUser, findUser, lockOwnUser, type OwnUserRow, updateUser } from './queries.ts'
import { emailKey, toOwnUser, toUser } from './users.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  log: Logger
  changes: Changes
  confirmation: Confirmation
  throttle: Throttle
  verification: Pick<EmailVerificationService, 'requestVerification'>
  messaging: Pick<MessagingPort, 'publishImage'>
  mail: OutgoingMail
}

export function createUsers(deps: Dependencies) {
  const { db, clock, changes } = deps

  /** Writes the patch and what it owes; answers the account as it is then. */
  const change = (caller: Caller, patch: UserPatch): Promise<OwnUser> =>
    db.transaction(async (tx) => {
      const now = clock.now()
      const wanted = profileChange(patch, now)
      // Before anything is locked: proving takes its time.
      await confirmEmail(tx, deps, { caller, patch })
      const row = await lockOwnUser(tx, caller.userId)
      if (!row) throw accessErrors.unauthenticated()
      const changed = changedFields(profileOf(row), wanted)
      if (!changed) return toOwnUser(row, now)
      const fields = Object.keys(changed.changes) as (keyof ProfileChange)[]
      await apply(tx, deps, { caller, before: row, wanted, fields })
      const after = (await findOwnUser(tx, caller.userId))!
      await changes.owe(tx, {
        audit: [audit('user.updated', actorOf(caller), caller.userId, told(profileOf(row), profileOf(after)))],
        // An email address is nobody else's business, nor is it that it changed.
        events: fields.some((field) => field !== 'email')
          ? [streamEvent(SERVER_STREAM, 'user.updated', toUser(after, now))]
          : [],
      })
      return toOwnUser(after, now)
    })

  return {
    async own(userId: string): Promise<OwnUser> {
      const row = await findOwnUser(db, userId)
      if (!row) throw accessErrors.unauthenticated()
      return toOwnUser(row, clock.now())
    },

    /** Also somebody who is gone: of a deleted account only the id. @throws user.notFound (404) */
    async get(id: string): Promise<User> {
      const row = await findUser(db, id)
      if (!row) throw userErrors.notFound()
      return toUser(row, clock.now())
    },

    /**
     * Changes what people show of themselves, and their email address, which takes a confirmation.
     * @throws request.invalid (422) for a name that can't be one; media.notFound (404), media.notAnImage,
     * media.imageTooLarge (422) for a picture; user.emailTaken (409); email.throttled (429); what a
     * confirmation throws
     */
    async update(caller: Caller, patch: UserPatch): Promise<OwnUser> {
      try {
        const user = await change(caller, patch)
        await changes.settled()
        return user
      } catch (error) {
        // It may have been published for a change that then came to nothing.
        if (patch.avatarId) await giveUp(deps, { userId: caller.userId, mediaId: patch.avatarId })
        if (!isUniqueViolation(error, 'users_email_key')) throw error
        await deps.throttle.failed(prober(caller))
        throw userErrors.emailTaken()
      }
    },
  }
}

export type Users = ReturnType<typeof createUsers>

/** Whoever reads an account's mail can come into it: a new address takes proof that it is still the person. */
async function confirmEmail(
  tx: Transaction,
  { confirmation, throttle }: Dependencies,
  { caller, patch }: { caller: Caller; patch: UserPatch },
): Promise<void> {
  const { email, password, code } = patch
  if (email === undefined || (await findOwnUser(tx, caller.userId))?.email === email) return
  await throttle.admit(prober(caller), emailErrors.throttled, tx)
  const proof = { ...(password === undefined ? {} : { password }), ...(code === undefined ? {} : { code }) }
  await confirmation.assert(tx, caller, proof)
}

// Whose address is whose is nobody's business: few may be tried out, as at a registration.
const prober = ({ address }: Caller) => addressSubject('emailProbe', address)

type Applied = {
  caller: Caller
  before: OwnUserRow
  wanted: ProfileChange
  fields: (keyof ProfileChange)[]
}

async function apply(
  tx: Transaction,
  { messaging, changes, mail, verification }: Dependencies,
  applied: Applied,
): Promise<void> {
  const { caller, before, wanted, fields } = applied
  const { userId } = caller
  const { email, avatarId } = wanted
  if (fields.includes('avatarId')) {
    if (avatarId) await messaging.publishImage({ mediaId: avatarId, userId, holder: pictureHolder(userId) })
    if (before.avatarId !== null) await changes.owe(tx, { pictures: [{ userId, mediaId: before.avatarId }] })
  }
  const address = email === undefined || !fields.includes('email') ? {} : { ...keyed(email), emailVerifiedAt: null }
  await updateUser(tx, userId, { ...wanted, ...address })
  if (!fields.includes('email')) return
  if (email) await verification.requestVerification(tx, userId, email)
  // Whoever reads an account's mail can come into it. Where nobody proved to read it, it is nobody's to be told there.
  const { username, email: former, emailVerifiedAt } = before
  if (former !== null && emailVerifiedAt !== null) await mail.owe(tx, emailChangedMail({ username, email: former }))
}

const keyed = (email: string | null) => ({ emailKey: email === null ? null : emailKey(email) })

async function giveUp({ db, changes, log }: Dependencies, picture: { userId: string; mediaId: string }): Promise<void> {
  try {
    await changes.owe(db, { pictures: [picture] })
    await changes.settled()
  } catch (error) {
    log.warn({ err: error, ...picture }, 'a picture that nobody shows may still be seen by the members')
  }
}

/** What changed, as the contract names it; an email address, which nobody else is shown, by its name alone. */
function told(before: Profile, after: Profile) {
  const { changes = {} } = changedFields(shown(before), shown(after)) ?? {}
  const { email: _, ...told } = changes
  return { fields: Object.keys(changes), changes: told }
}

const shown = ({ statusText: text, statusEmoji: emoji, statusExpiresAt: until, ...others }: Profile) => ({
  ...others,
  status: text === null && emoji === null ? null : { text, emoji, expiresAt: until?.toISOString() ?? null },
})

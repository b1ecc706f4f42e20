import { auditFor, changedFields, type OwnUser, SERVER_STREAM, type User, type UserPatch } from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import { type Changes, streamEvent } from '../changes.ts'
import { userErrors } from './errors.ts'
import { findOwnUser, findUser, lockOwnUser, updateUser } from './queries.ts'
import { emailKey, toOwnUser, toUser } from './users.ts'

const audit = auditFor('auth')

type Dependencies = { db: ServerDetails; changes: Changes }

export function createUsers({ db, changes }: Dependencies) {
  /** Writes the patch and what it owes; answers the account as it is then. */
  const change = async (caller: Caller, wanted: Pick<UserPatch, 'displayName' | 'email'>): Promise<OwnUser> =>
    db.transaction(async (tx) => {
      const row = await lockOwnUser(tx, caller.userId)
      if (!row) throw accessErrors.unauthenticated()
      const before = toOwnUser(row)
      const changed = changedFields<UserPatch>({ displayName: before.displayName, email: before.email }, wanted)
      if (!changed) return before
      const { email } = wanted
      const key = email === undefined ? {} : { emailKey: email === null ? null : emailKey(email) }
      await updateUser(tx, caller.userId, { ...wanted, ...key })
      const after = toOwnUser((await findOwnUser(tx, caller.userId))!)
      const fields = Object.keys(changed.changes)
      await changes.owe(tx, {
        audit: [audit('user.updated', actorOf(caller), caller.userId, { fields })],
        // An email address is nobody else's business, nor is it that it changed.
        events: fields.includes('displayName')
          ? [streamEvent(SERVER_STREAM, 'user.updated', toUser({ ...row, displayName: after.displayName }))]
          : [],
      })
      return after
    })

  return {
    async own(userId: string): Promise<OwnUser> {
      const row = await findOwnUser(db, userId)
      if (!row) throw accessErrors.unauthenticated()
      return toOwnUser(row)
    },

    /** @throws user.notFound (404) */
    async get(id: string): Promise<User> {
      const row = await findUser(db, id)
      if (!row) throw userErrors.notFound()
      return toUser(row)
    },

    /** A display name of nothing but space is none. @throws user.emailTaken (409) */
    async update(caller: Caller, { displayName, email }: UserPatch): Promise<OwnUser> {
      const wanted = {
        ...(displayName === undefined ? {} : { displayName: displayName?.trim() || null }),
        ...(email === undefined ? {} : { email }),
      }
      try {
        const user = await change(caller, wanted)
        await changes.settled()
        return user
      } catch (error) {
        if (isUniqueViolation(error, 'users_email_key')) throw userErrors.emailTaken()
        throw error
      }
    },
  }
}

export type Users = ReturnType<typeof createUsers>

import { type AuditActor, auditFor, Email } from '@conntext/contracts'
import { isForeignKeyViolation, isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import type { MaintenanceGate, Visitor } from '@conntext/http'
import { actorOf } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { Value } from '@sinclair/typebox/value'
import type { Changes } from '../changes.ts'
import { type Admitted, makeAccount, type NewAccount, recordAccount } from '../registration/account.ts'
import type { RegistrationService } from '../registration/service.ts'
import type { Transaction } from '../transaction.ts'
import { emailKey } from '../users/users.ts'
import { oidcErrors } from './errors.ts'
import {
  findIdentity,
  findIdentityOfUser,
  holdEnabledProvider,
  insertIdentity,
  isPrivileged,
  lockUserByVerifiedEmail,
} from './queries.ts'
import type { Profile, Vouched } from './relying-party.ts'
import { usernamesFor } from './usernames.ts'

const audit = auditFor('auth')

/** Somebody at a provider. The issuer goes along: a subject is somebody only there. */
export type Subject = { provider: string; issuer: string; subject: string }

/** An identity and whose it is. */
export type Linked = { id: string; userId: string }

type Dependencies = {
  db: ServerDetails
  clock: Clock
  changes: Changes
  registration: RegistrationService
  maintenance: MaintenanceGate
}

export type Accounts = ReturnType<typeof createAccounts>

/** Whose account it is that somebody at a provider comes into. */
export function createAccounts({ db, clock, changes, registration, maintenance }: Dependencies) {
  /** @throws oidc.providerNotFound (404) when the provider is not what it was */
  const insert = async (tx: Transaction, who: Subject, userId: string, actor: AuditActor): Promise<Linked> => {
    const provider = await holdEnabledProvider(tx, who.provider)
    if (provider?.issuer !== who.issuer) throw oidcErrors.providerNotFound()
    const id = newId()
    await insertIdentity(tx, { id, userId, providerId: who.provider, subject: who.subject, createdAt: clock.now() })
    await changes.owe(tx, { audit: [audit('identity.linked', actor, userId, { provider: who.provider })] })
    return { id, userId }
  }

  const link = async (tx: Transaction, who: Subject, userId: string, actor: AuditActor): Promise<Linked> => {
    const taken = await findIdentity(tx, who.provider, who.subject)
    if (taken && taken.userId !== userId) throw oidcErrors.identityTaken()
    if (await findIdentityOfUser(tx, who.provider, userId)) throw oidcErrors.alreadyLinked()
    return insert(tx, who, userId, actor)
  }

  /** To the account that has proved to be at the same address. */
  const linkByEmail = async (who: Subject, profile: Profile, visitor: Visitor): Promise<Linked | undefined> => {
    const { email } = profile
    if (email === null || !profile.emailVerified) return undefined
    return db.transaction(async (tx) => {
      const user = await lockUserByVerifiedEmail(tx, emailKey(email))
      if (!user) return undefined
      // Somebody who came in twice at once waited here for themselves.
      const known = await findIdentity(tx, who.provider, who.subject)
      if (known) return known
      // Whoever may set up providers could otherwise make one that vouches for the owner.
      if (await isPrivileged(tx, user.id)) throw oidcErrors.linkNeedsLogin()
      return link(tx, who, user.id, personActor(visitor, user.id))
    })
  }

  const tryToMake = (account: NewAccount, who: Subject, visitor: Visitor): Promise<Linked> =>
    db.transaction(async (tx) => {
      const made = await makeAccount(tx, account)
      await registration.verify(tx, account)
      const actor = personActor(visitor, account.userId)
      await recordAccount(tx, changes, { ...made, way: account.way, actor })
      return insert(tx, who, account.userId, actor)
    })

  /** With the first name that is free, and the address where nobody has it. */
  const make = async (admitted: Admitted, who: Subject, profile: Profile, visitor: Visitor): Promise<Linked> => {
    let email = profile.email
    const names = usernamesFor(profile)
    let username = nextOf(names)
    for (;;) {
      const emailVerifiedAt = email !== null && profile.emailVerified ? clock.now() : null
      const account = { ...admitted, username, email, emailVerifiedAt, passwordHash: null }
      try {
        return await tryToMake(account, who, visitor)
      } catch (error) {
        if (isUniqueViolation(error, 'users_email_key')) email = null
        else if (isNameTaken(error)) username = nextOf(names)
        else throw error
      }
    }
  }

  const resolve = async (who: Subject, vouched: Vouched, how: Arrival): Promise<Linked> => {
    const known = await findIdentity(db, who.provider, who.subject)
    if (known) return known
    // To come in changes nothing; to come in for the first time does, and is a plain link as far as gateways know.
    await maintenance.assertOpen(async () => undefined)
    const profile = usable(await vouched.profile())
    const linked = await linkByEmail(who, profile, how.visitor)
    if (linked) return linked
    const codes = how.inviteCode === undefined ? {} : { inviteCode: how.inviteCode }
    return registration.admit(codes, how.visitor, (admitted) => make(admitted, who, profile, how.visitor))
  }

  return {
    /**
     * Links an account to somebody at a provider, in the transaction that has made sure whose account it is.
     * @throws oidc.providerNotFound (404) when the provider is not what it was; oidc.alreadyLinked, .identityTaken (409)
     */
    link,

    /**
     * The account of whom a provider vouches for: the one that is linked; else the one with the same address, which both
     * sides have seen proved; else a new one, where the server takes new members.
     * @throws oidc.providerNotFound (404), .linkNeedsLogin, .alreadyLinked (409), what
     * registration's `admit` throws, oidc.providerAway, server.maintenance (503)
     */
    async resolve(who: Subject, vouched: Vouched, how: Arrival): Promise<Linked> {
      const linked = await resolve(who, vouched, how).catch(async (error: unknown) => {
        // Of two logins that bring somebody new at once, one makes the account; the other comes into it.
        const made =
          isUniqueViolation(error, 'identities_subject') && (await findIdentity(db, who.provider, who.subject))
        if (made) return made
        throw isForeignKeyViolation(error) ? oidcErrors.providerNotFound() : error
      })
      await changes.settled()
      return linked
    },
  }
}

type Arrival = { visitor: Visitor; inviteCode?: string | undefined }

/** Whoever a provider has vouched for, before there is a session. */
const personActor = (visitor: Visitor, userId: string): AuditActor => ({
  ...actorOf(visitor),
  kind: 'user',
  id: userId,
})

const isNameTaken = (error: unknown): boolean =>
  isUniqueViolation(error, 'users_username_key') || isUniqueViolation(error, 'users_username_skeleton')

const nextOf = (names: Generator<string>): string => {
  const { value, done } = names.next()
  if (done) throw new Error('no user name is free')
  return value
}

/** An address that could not be given here is none. */
const usable = (profile: Profile): Profile => ({
  ...profile,
  email: profile.email !== null && Value.Check(Email, profile.email) ? profile.email : null,
})

import { type Authenticated, auditFor, type Registration, SERVER_STREAM, type SystemPort } from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Visitor } from '@conntext/http'
import { AppError, equalSecrets, type Logger, newId } from '@conntext/kernel'
import { type Changes, streamEvent } from '../changes.ts'
import { hashPassword } from '../passwords/passwords.ts'
import type { Slots } from '../passwords/slots.ts'
import type { Refusals } from '../refusals.ts'
import { type Opened, provenActor, type Sessions } from '../sessions/service.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser } from '../users/queries.ts'
import { emailKey, toOwnUser, toUser, usernameKey, usernameSkeleton } from '../users/users.ts'
import { registrationErrors } from './errors.ts'
import { createInviteUse } from './invite-use.ts'
import { claimServer, giveRoleIfThere, insertAccount, isEmailTaken, isUsernameTaken } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  slots: Slots
  throttle: Throttle
  sessions: Sessions
  changes: Changes
  refusals: Refusals
  log: Logger
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite' | 'registrationMode'>
  setupCode(): Promise<string | undefined>
  onClaimed(): Promise<void>
}

/** On what grounds somebody may make an account. */
type Way = 'setupCode' | 'invite' | 'open'

/** Codes that somebody might be guessing. */
const GUESSED = new Set(['registration.setupCodeWrong', 'invite.notFound'])

export function createRegistration(deps: Dependencies) {
  const { db, slots, throttle, sessions, changes, refusals, log, system } = deps
  const inviteUse = createInviteUse({ db, changes, log, system })

  const wayIn = async ({ setupCode, inviteCode }: Registration): Promise<Way> => {
    if (setupCode !== undefined) {
      const expected = await deps.setupCode()
      if (expected === undefined || !equalSecrets(setupCode, expected)) throw registrationErrors.setupCodeWrong()
      return 'setupCode'
    }
    const { mode } = await system.registrationMode({})
    if (mode === 'closed') throw registrationErrors.closed()
    if (inviteCode !== undefined) return 'invite'
    if (mode === 'invite') throw registrationErrors.inviteRequired()
    return 'open'
  }

  const assertFree = async ({ username, email }: Registration): Promise<void> => {
    if (await isUsernameTaken(db, usernameKey(username))) throw registrationErrors.usernameTaken()
    if (email !== undefined && (await isEmailTaken(db, emailKey(email)))) throw registrationErrors.emailTaken()
  }

  const create = (account: NewAccount, visitor: Visitor) =>
    db.transaction(async (tx) => {
      const { userId, input, way, passwordHash } = account
      const row = await insertAccount(tx, {
        id: userId,
        username: input.username,
        usernameKey: usernameKey(input.username),
        usernameSkeleton: usernameSkeleton(input.username),
        email: input.email ?? null,
        emailKey: input.email === undefined ? null : emailKey(input.email),
        passwordHash,
      })
      if (way === 'setupCode' && !(await claimServer(tx, userId))) throw registrationErrors.setupCodeWrong()
      const given = account.roleId !== null && (await giveRoleIfThere(tx, userId, account.roleId))
      const roleIds = given ? [account.roleId!] : []
      const opened = await sessions.open(tx, { userId, methods: ['pwd'] }, visitor)
      await recordAccount(tx, changes, { account, opened, roleIds, user: toUser(row), visitor })
      return { user: toOwnUser((await findOwnUser(tx, userId))!), opened }
    })

  const register = async (input: Registration, visitor: Visitor): Promise<Authenticated> => {
    const way = await wayIn(input)
    const userId = newId()
    // Only for who may come in: to others it would tell who is here, and cost a core's time.
    const make = async (roleId: string | null) => {
      await assertFree(input)
      const passwordHash = await slots.run(() => hashPassword(input.password))
      return create({ userId, input, way, passwordHash, roleId }, visitor)
    }
    const { user, opened } = await (way === 'invite' ? inviteUse.during(input.inviteCode!, userId, make) : make(null))
    await changes.settled({ authority: way === 'setupCode' ? [{}] : [] })
    if (way === 'setupCode') await claimed(deps)
    return sessions.answer(user, opened)
  }

  return {
    /**
     * @throws registration.closed, .inviteRequired, .setupCodeWrong (403), .usernameTaken, .emailTaken (409),
     * .throttled (429), what `reserveInvite` throws (404, 410), password.busy (503)
     */
    async register(input: Registration, visitor: Visitor): Promise<Authenticated> {
      const guesser = addressSubject('registration', visitor.address)
      try {
        await throttle.admit(guesser, registrationErrors.throttled)
        return await register(input, visitor)
      } catch (thrown) {
        const error = conflictOf(thrown)
        if (error instanceof AppError && error.status < 500) {
          if (GUESSED.has(error.code)) await throttle.failed(guesser)
          refusals.registration(visitor, error.code)
        }
        throw error
      }
    },
  }
}

export type RegistrationService = ReturnType<typeof createRegistration>

type NewAccount = { userId: string; input: Registration; way: Way; passwordHash: string; roleId: string | null }
type Made = {
  account: NewAccount
  opened: Opened
  roleIds: string[]
  user: ReturnType<typeof toUser>
  visitor: Visitor
}

async function recordAccount(tx: Transaction, changes: Changes, made: Made): Promise<void> {
  const { account, opened, roleIds, user, visitor } = made
  const { userId, way } = account
  const actor = provenActor(visitor, userId, opened.sessionId)
  await changes.owe(tx, {
    audit: [
      audit('user.registered', actor, userId, { username: user.username, via: way }),
      ...(roleIds.length > 0 ? [audit('member.rolesChanged', actor, userId, { added: roleIds, removed: [] })] : []),
      ...(way === 'setupCode' ? [audit('server.claimed', actor, userId, {})] : []),
    ],
    events: [streamEvent(SERVER_STREAM, 'member.joined', { user, roleIds, joinedAt: user.createdAt })],
  })
}

// Two that ask for one name at once both find it free: the index decides.
function conflictOf(error: unknown): unknown {
  if (isUniqueViolation(error, 'users_username_key')) return registrationErrors.usernameTaken()
  if (isUniqueViolation(error, 'users_email_key')) return registrationErrors.emailTaken()
  return error
}

async function claimed({ onClaimed, log }: Dependencies): Promise<void> {
  try {
    await onClaimed()
  } catch (error) {
    // The server has its owner; that the code is still lying about is no reason to tell them otherwise.
    log.error({ err: error }, 'what follows the claiming of the server failed')
  }
}

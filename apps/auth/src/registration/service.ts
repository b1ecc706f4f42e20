import type { Authenticated, Registration, SystemPort } from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Visitor } from '@conntext/http'
import { AppError, equalSecrets, type Logger, newId } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { EmailVerificationService } from '../email/verification.ts'
import { hashPassword } from '../passwords/passwords.ts'
import { type Slots, turnFrom } from '../passwords/slots.ts'
import type { Refusals } from '../refusals.ts'
import { provenActor, type Sessions } from '../sessions/service.ts'
import { addressSubject, type Throttle } from '../throttle/throttle.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser } from '../users/queries.ts'
import { isReservedUsername, toOwnUser } from '../users/users.ts'
import { type Admitted, makeAccount, type NewAccount, recordAccount, type Way } from './account.ts'
import { registrationErrors } from './errors.ts'
import { createInviteUse } from './invite-use.ts'
import { isEmailTaken, isUsernameTaken } from './queries.ts'

type Dependencies = {
  db: ServerDetails
  slots: Slots
  throttle: Throttle
  sessions: Sessions
  changes: Changes
  refusals: Refusals
  verification: Pick<EmailVerificationService, 'requestVerification'>
  log: Logger
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite' | 'registrationMode'>
  setupCode(): Promise<string | undefined>
  onClaimed(): Promise<void>
}

/** What somebody brings to be let in. */
type Codes = Pick<Registration, 'setupCode' | 'inviteCode'>

/** Codes that somebody might be guessing. */
const GUESSED = new Set(['registration.setupCodeWrong', 'invite.notFound'])

export function createRegistration(deps: Dependencies) {
  const { db, slots, throttle, sessions, changes, refusals, verification, log, system } = deps
  const inviteUse = createInviteUse({ db, changes, log, system })

  const wayIn = async ({ setupCode, inviteCode }: Codes): Promise<Way> => {
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

  const assertFree = async ({ username, email }: Registration, { address }: Visitor): Promise<void> => {
    if (isReservedUsername(username) || (await isUsernameTaken(db, username))) throw registrationErrors.usernameTaken()
    if (email === undefined) return
    // User names are seen by all members. Whose address is whose is nobody's business: few may be tried out.
    const prober = addressSubject('emailProbe', address)
    await throttle.admit(prober, registrationErrors.throttled)
    if (!(await isEmailTaken(db, email))) return
    await throttle.failed(prober)
    throw registrationErrors.emailTaken()
  }

  /** Without a mail where the address had too many: the account can ask for one later. */
  const verify = (tx: Transaction, { userId, email, emailVerifiedAt }: NewAccount): Promise<void> =>
    email === null || emailVerifiedAt !== null
      ? Promise.resolve()
      : verification.requestVerification(tx, userId, email).catch((error: unknown) => {
          if (!(error instanceof AppError && error.code === 'email.throttled')) throw error
        })

  const create = (account: NewAccount, visitor: Visitor) =>
    db.transaction(async (tx) => {
      const { userId, way } = account
      const made = await makeAccount(tx, account)
      await verify(tx, account)
      const opened = await sessions.open(tx, { userId, methods: ['pwd'] }, visitor)
      await recordAccount(tx, changes, { ...made, way, actor: provenActor(visitor, userId, opened.sessionId) })
      return { user: toOwnUser((await findOwnUser(tx, userId))!), opened }
    })

  /**
   * Runs `make` for whoever may come in, with an invite's use taken that is given back when no account comes of it.
   * @throws registration.closed, .inviteRequired, .setupCodeWrong (403), .throttled (429), what `reserveInvite` throws
   * (404, 410), and what `make` throws
   */
  const admit = async <T>(codes: Codes, visitor: Visitor, make: (admitted: Admitted) => Promise<T>): Promise<T> => {
    const guesser = addressSubject('registration', visitor.address)
    try {
      await throttle.admit(guesser, registrationErrors.throttled)
      const way = await wayIn(codes)
      const userId = newId()
      const run = (roleId: string | null) => make({ way, userId, roleId })
      return await (way === 'invite' ? inviteUse.during({ code: codes.inviteCode!, userId }, run) : run(null))
    } catch (thrown) {
      const error = conflictOf(thrown)
      if (error instanceof AppError && error.status < 500) {
        if (GUESSED.has(error.code)) await throttle.failed(guesser)
        refusals.registration(visitor, error.code)
      }
      throw error
    }
  }

  return {
    admit,
    /** Sends a new account what proves that its address is its own, where that isn't known. */
    verify,

    /**
     * @throws what `admit` throws, registration.usernameTaken, .emailTaken (409), password.busy (503)
     */
    async register(input: Registration, visitor: Visitor): Promise<Authenticated> {
      // Only for who may come in: to others it would tell who is here, and cost a core's time.
      const { way, made } = await admit(input, visitor, async (admitted) => {
        await assertFree(input, visitor)
        const passwordHash = await slots.run(() => hashPassword(input.password), turnFrom(visitor))
        const { username, email = null } = input
        const account = { ...admitted, username, email, emailVerifiedAt: null, passwordHash }
        return { way: admitted.way, made: await create(account, visitor) }
      })
      await changes.settled({ authority: way === 'setupCode' ? [{}] : [] })
      if (way === 'setupCode') await claimed(deps)
      return sessions.answer(made.user, made.opened)
    },
  }
}

export type RegistrationService = ReturnType<typeof createRegistration>

// Two that ask for one name at once both find it free: the index decides.
function conflictOf(error: unknown): unknown {
  const isName = ['users_username_key', 'users_username_skeleton'].some((index) => isUniqueViolation(error, index))
  if (isName) return registrationErrors.usernameTaken()
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

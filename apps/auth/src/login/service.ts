import type { LoginAnswer, LoginRequest } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Visitor } from '@conntext/http'
import { AppError, newId } from '@conntext/kernel'
import { findPasswordHash } from '../confirmation/queries.ts'
import { verifyPassword } from '../passwords/passwords.ts'
import { PROVEN, type Slots, type Turn, turnFrom } from '../passwords/slots.ts'
import type { Refusals } from '../refusals.ts'
import type { Sessions } from '../sessions/service.ts'
import { addressSubject, type Subject, type Throttle } from '../throttle/throttle.ts'
import type { LoginCompletion } from './complete.ts'
import { loginErrors } from './errors.ts'
import { findAccount } from './queries.ts'
import { accountSubject, accountSubjects } from './subjects.ts'

/** What is held against whoever has failed from there before, for each time; and what counts for whoever is known there. */
const HANDICAP_MS = { eachFailure: 1_000, most: 20_000, known: PROVEN.handicapMs }

type Dependencies = {
  db: ServerDetails
  slots: Slots
  throttle: Throttle
  sessions: Pick<Sessions, 'isUsedFrom'>
  completion: LoginCompletion
  refusals: Refusals
}

type Account = NonNullable<Awaited<ReturnType<typeof findAccount>>>

export function createLogin({ db, slots, throttle, sessions, completion, refusals }: Dependencies) {
  /**
   * What a failure counts for: the account's name and the address. Somebody elsewhere who keeps the name waiting doesn't
   * lock its owner out: from where they are logged in already, failures count apart.
   */
  const subjectsOf = async (login: string, userId: string | undefined, { address }: Visitor): Promise<Subject[]> => {
    const from = addressSubject('address', address)
    const account = accountSubject(login)
    if (address === null || !(await throttle.mustWait(account))) return [account, ...from]
    // An account that isn't there is looked for as well: the time would tell.
    const isKnown = await sessions.isUsedFrom(userId ?? newId(), address)
    return [isKnown ? accountSubject(login, address) : account, ...from]
  }

  /**
   * When it is somebody's turn. From where others have failed they come later, from where they are logged in already
   * sooner: so a flood of guesses keeps out neither them nor anybody else who comes from elsewhere.
   */
  const turnOf = async (
    { subjects, failures, userId }: { subjects: Subject[]; failures: number[]; userId: string | undefined },
    visitor: Visitor,
  ): Promise<Turn> => {
    const { address } = visitor
    const { from } = turnFrom(visitor)
    // Looked up only where somebody has to wait; an account that isn't there as well: the time would tell.
    const isKnown = address !== null && slots.isFull && (await sessions.isUsedFrom(userId ?? newId(), address))
    if (isKnown) return { from: `${from} ${userId}`, handicapMs: HANDICAP_MS.known }
    const held = subjects.findIndex(({ kind }) => kind === 'address')
    const handicapMs = Math.min(HANDICAP_MS.most, (failures[held] ?? 0) * HANDICAP_MS.eachFailure)
    return { from, handicapMs }
  }

  /** Whether the password is right, with the same work whether or not the account is there. */
  const prove = async (password: string, account: Account | undefined, login: string, visitor: Visitor) => {
    const subjects = await subjectsOf(login, account?.id, visitor)
    // Refused here, so that whoever has to wait takes nobody's place in the queue …
    const failures = await throttle.admit(subjects, loginErrors.throttled)
    const check = async () => {
      // … and here, so that a hundred guesses sent at once aren't a hundred free ones.
      await throttle.admit(subjects, loginErrors.throttled)
      const right = await verifyPassword(password, account?.passwordHash)
      if (!right) await throttle.failed(subjects)
      return right
    }
    const turn = await turnOf({ subjects, failures, userId: account?.id }, visitor)
    return { subjects, right: await slots.run(check, turn) }
  }

  return {
    /**
     * @throws login.failed (401), the same whatever was wrong; login.throttled (429) after too many failures in the
     * account's name or from the address; login.banned (403), once all else was right; password.busy (503)
     */
    async login({ login, password }: LoginRequest, visitor: Visitor): Promise<LoginAnswer> {
      const account = await findAccount(db, login)
      try {
        const { subjects, right } = await prove(password, account, login, visitor)
        if (!right || !account) throw loginErrors.failed()
        return await completion.complete({ userId: account.id, methods: ['pwd'] }, visitor, async (tx) => {
          // Replaced while it was being verified.
          if ((await findPasswordHash(tx, account.id)) !== account.passwordHash) throw loginErrors.failed()
          // Not the address's: whoever has an account here could try all the others for ever.
          await throttle.forget(tx, [...accountSubjects(account), ...subjects.filter(({ kind }) => kind === 'account')])
        })
      } catch (error) {
        if (error instanceof AppError && error.status < 500) {
          refusals.login(visitor, account?.id ?? null, error.code)
        }
        throw error
      }
    },
  }
}

export type Login = ReturnType<typeof createLogin>

import { auditFor } from '@conntext/contracts'
import { actorOf, type Caller, noteAccess, type RefusalLog, type Visitor } from '@conntext/http'
import { networkOf } from './throttle/network.ts'

const audit = auditFor('auth')

// Whoever can change the address within their own network is still the same one.
const keyOf = (action: string, { address }: Visitor, what: (string | null)[]): string =>
  JSON.stringify([action, address === null ? null : networkOf(address), ...what])

/** What this service refuses, for the audit trail. */
export const createRefusals = (log: RefusalLog) => ({
  access: noteAccess(log, audit),

  /** `userId`: in whose name it was tried, where there is an account. */
  login(visitor: Visitor, userId: string | null, code: string): void {
    log.note(keyOf('login.failed', visitor, [userId, code]), (repeats) =>
      audit('login.failed', actorOf(visitor), userId, { code, ...repeats }),
    )
  },

  /** What somebody who is logged in gave as proof that it is still them. */
  confirmation(caller: Caller, code: string): void {
    log.note(keyOf('confirmation.failed', caller, [caller.userId, code]), (repeats) =>
      audit('confirmation.failed', actorOf(caller), caller.userId, { code, ...repeats }),
    )
  },

  registration(visitor: Visitor, code: string): void {
    log.note(keyOf('registration.refused', visitor, [code]), (repeats) =>
      audit('registration.refused', actorOf(visitor), null, { code, ...repeats }),
    )
  },
})

export type Refusals = ReturnType<typeof createRefusals>

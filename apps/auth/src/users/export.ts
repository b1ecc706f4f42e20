import {
  auditFor,
  isPermission,
  MAX_PAGE,
  type MessagingPort,
  type Session,
  type UserExport,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller, pageRequest } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { Sessions } from '../sessions/service.ts'
import { findHoldings } from './export-queries.ts'
import { findOwnUser } from './queries.ts'
import { toOwnUser } from './users.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  changes: Changes
  sessions: Sessions
  messaging: Pick<MessagingPort, 'contactsOf'>
}

const iso = (time: Date | null): string | null => time?.toISOString() ?? null

export function createUserExport({ db, clock, changes, sessions, messaging }: Dependencies) {
  const allSessions = async (caller: Caller): Promise<Session[]> => {
    const found: Session[] = []
    let cursor: string | null = null
    do {
      const query = { limit: String(MAX_PAGE), ...(cursor === null ? {} : { cursor }) }
      const page: Awaited<ReturnType<Sessions['list']>> = await sessions.list(caller, pageRequest(query))
      found.push(...page.items)
      cursor = page.nextCursor
    } while (cursor !== null)
    return found
  }

  return {
    /** All that this service holds of the caller, and whom they have blocked. Messages and files are messaging's. */
    async take(caller: Caller): Promise<UserExport> {
      const now = clock.now()
      const row = await findOwnUser(db, caller.userId)
      if (!row) throw accessErrors.unauthenticated()
      const { account, totp, ...held } = await findHoldings(db, caller.userId)
      const answer: UserExport = {
        exportedAt: now.toISOString(),
        account: {
          ...toOwnUser(row, now),
          nickname: account.nickname,
          emailVerifiedAt: iso(account.emailVerifiedAt),
          passwordChangedAt: iso(account.passwordChangedAt),
          joinedAt: account.joinedAt.toISOString(),
          timedOutUntil: iso(account.timedOutUntil),
        },
        roles: held.roles,
        sessions: await allSessions(caller),
        authenticatorApp: totp ? { createdAt: totp.createdAt.toISOString() } : null,
        recoveryCodesLeft: held.recoveryCodesLeft,
        passkeys: held.passkeys.map(withTimes),
        identities: held.identities.map(withTimes),
        apiTokens: held.apiTokens.map((token) => ({
          ...withTimes(token),
          scopes: token.scopes.filter(isPermission),
          expiresAt: iso(token.expiresAt),
        })),
        bots: held.bots.map((bot) => ({ ...bot, createdAt: bot.createdAt.toISOString() })),
        ...(await messaging.contactsOf({ userId: caller.userId })),
      }
      await changes.owe(db, { audit: [audit('user.exported', actorOf(caller), caller.userId, {})] })
      await changes.settled()
      return answer
    },
  }
}

export type UserExports = ReturnType<typeof createUserExport>

const withTimes = <T extends { createdAt: Date; lastUsedAt: Date | null }>(row: T) => ({
  ...row,
  createdAt: row.createdAt.toISOString(),
  lastUsedAt: iso(row.lastUsedAt),
})

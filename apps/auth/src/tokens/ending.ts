import { type AuditActor, auditFor, type SessionRevocation } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { Transaction } from '../transaction.ts'
import { revokeApiTokensOf } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = { clock: Clock; changes: Changes }

/** What ended somebody's API tokens, beside themselves. */
export type TokensEndedBy = 'ban' | 'kick' | 'leaving' | 'deletion'

/** How an account loses its API tokens when it loses its place here. */
export const createTokenEnding =
  ({ clock, changes }: Dependencies) =>
  /**
   * Ends all of an account's tokens, and those that it made for bots: it knows them. Whoever leaves keeps their own, for
   * what is left of their account. In the caller's transaction, which has the account's row locked, or has written it:
   * then no token is made meanwhile.
   * @returns what `changes.settled` is to publish after the commit
   */
  async (
    tx: Transaction,
    userId: string,
    { actor, by }: { actor: AuditActor; by: TokensEndedBy },
  ): Promise<SessionRevocation[]> => {
    const ended = await revokeApiTokensOf(tx, userId, { now: clock.now(), keepOwn: by === 'leaving' })
    await changes.owe(tx, {
      audit: ended.map((token) => audit('token.revoked', actor, token.id, { userId: token.userId, by })),
    })
    return ended.map((token) => ({ sessionId: token.id, userId: token.userId }))
  }

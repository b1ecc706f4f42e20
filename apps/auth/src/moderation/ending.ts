import { type AuditActor, auditFor, type SessionRevocation } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import { endSessions } from '../sessions/ending.ts'
import { revokeApiTokensOf } from '../tokens/queries.ts'
import type { Transaction } from '../transaction.ts'

const audit = auditFor('auth')

/** Ends all that somebody can come in with: sessions and API tokens; answers what to publish after the commit. */
export async function endAccess(
  tx: Transaction,
  deps: { changes: Changes; clock: Clock },
  { userId, actor, by }: { userId: string; actor: AuditActor; by: 'kick' | 'ban' },
): Promise<SessionRevocation[]> {
  const sessions = await endSessions(tx, deps, { userId, actor, by })
  const tokens = await revokeApiTokensOf(tx, userId, deps.clock.now())
  await deps.changes.owe(tx, {
    audit: tokens.map((token) => audit('token.revoked', actor, token.id, { userId: token.userId, by })),
  })
  return [...sessions, ...tokens.map((token) => ({ sessionId: token.id, userId: token.userId }))]
}

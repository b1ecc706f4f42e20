import type { AuditActor, SessionRevocation } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import { endSessions } from '../sessions/ending.ts'
import { createTokenEnding } from '../tokens/ending.ts'
import type { Transaction } from '../transaction.ts'

/** Ends all that somebody can come in with: sessions and API tokens; answers what to publish after the commit. */
export async function endAccess(
  tx: Transaction,
  deps: { changes: Changes; clock: Clock },
  { userId, actor, by }: { userId: string; actor: AuditActor; by: 'kick' | 'ban' },
): Promise<SessionRevocation[]> {
  const sessions = await endSessions(tx, deps, { userId, actor, by })
  return [...sessions, ...(await createTokenEnding(deps)(tx, userId, { actor, by }))]
}

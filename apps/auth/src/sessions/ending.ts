import { type AuditActor, auditFor, type SessionRevocation, userStream } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import { type Changes, streamEvent } from '../changes.ts'
import type { Transaction } from '../transaction.ts'
import { revokeLivingSessions } from './queries.ts'

const audit = auditFor('auth')

/** Whose sessions end, all but `except`, by whom and because of what. */
export type Ending = { userId: string; except?: string; actor: AuditActor; by: string }

/** Ends somebody's sessions in the transaction of what they end for; answers what to publish after its commit. */
export async function endSessions(
  tx: Transaction,
  { changes, clock }: { changes: Changes; clock: Clock },
  { actor, by, ...which }: Ending,
): Promise<SessionRevocation[]> {
  const ended = await revokeLivingSessions(tx, { ...which, now: clock.now() })
  const { userId } = which
  await changes.owe(tx, {
    audit: ended.map((id) => audit('session.revoked', actor, id, { userId, by })),
    events: ended.map((id) => streamEvent(userStream(userId), 'session.revoked', { id })),
  })
  return ended.map((sessionId) => ({ sessionId, userId }))
}

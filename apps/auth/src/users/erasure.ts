import { type AuditActor, auditFor, SERVER_STREAM } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import { type Changes, type Settled, streamEvent } from '../changes.ts'
import { endSessions } from '../sessions/ending.ts'
import { createTokenEnding } from '../tokens/ending.ts'
import type { Transaction } from '../transaction.ts'
import { eraseAccountRow, lockAccount } from './deletion-queries.ts'
import { toUser } from './users.ts'

const audit = auditFor('auth')

type Dependencies = { clock: Clock; changes: Changes }

/** Whose account, on whose behalf, and what becomes of what they have written. */
export type Erasure = { userId: string; actor: AuditActor; messages: 'keep' | 'delete' }

/**
 * Deletes an account, a person's or a bot's, in the caller's transaction, which holds the authority lock: its id stays,
 * so that what it has written has an author.
 * @returns what `changes.settled` is to tell after the commit; nothing where the account is gone already
 */
export async function eraseAccount(
  tx: Transaction,
  deps: Dependencies,
  { userId, actor, messages }: Erasure,
): Promise<Settled | undefined> {
  const { changes } = deps
  const before = await lockAccount(tx, userId)
  if (!before) return undefined
  const sessions = await endSessions(tx, deps, { userId, actor, by: 'deletion' })
  const tokens = await createTokenEnding(deps)(tx, userId, { actor, by: 'deletion' })
  const user = toUser(await eraseAccountRow(tx, userId))
  const left = before.standing === 'active' ? [streamEvent(SERVER_STREAM, 'member.left', { userId })] : []
  await changes.owe(tx, {
    audit: [
      before.kind === 'bot'
        ? audit('bot.deleted', actor, userId, {})
        : audit('user.deleted', actor, userId, { messages }),
    ],
    events: [...left, streamEvent(SERVER_STREAM, 'user.updated', user)],
    deletions: [{ operation: 'userDeleted', request: { userId, messages } }],
  })
  return { authority: [{ userId }], revoked: [...sessions, ...tokens] }
}

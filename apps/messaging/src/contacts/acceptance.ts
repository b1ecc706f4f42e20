import type { CommunicationsExecutor } from '@conntext/db-communications'
import type { AppError } from '@conntext/kernel'
import { conversationErrors } from '../conversations/errors.ts'
import { findRifts, type Rift } from './queries.ts'

/**
 * Why somebody can't write in a conversation of two: they have blocked the other one, or the other one doesn't want to
 * hear of them. Undefined where they can, and for groups and channels, where a block changes nothing.
 */
export function riftRefusal(rifts: Rift[], conversationId: string, userId: string): AppError | undefined {
  const here = rifts.filter((one) => one.conversationId === conversationId)
  if (here.some((one) => one.userId === userId)) return conversationErrors.blocked()
  return here.length > 0 ? conversationErrors.notAccepted() : undefined
}

/**
 * What reaches the other one in a conversation of two takes that neither has blocked the other. Holds under the
 * conversation's stream lock. @throws conversation.notAccepted (403), conversation.blocked (409)
 */
export async function assertAccepted(db: CommunicationsExecutor, channelId: string, userId: string): Promise<void> {
  const refusal = riftRefusal(await findRifts(db, [channelId]), channelId, userId)
  if (refusal) throw refusal
}

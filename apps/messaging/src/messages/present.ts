import type { Message } from '@conntext/contracts'
import type { CommunicationsExecutor } from '@conntext/db-communications'
import { findReactions } from '../reactions/queries.ts'
import { findMedia } from './queries.ts'
import { findPreviews } from './replies.ts'
import { type MessageRow, toMessage } from './shape.ts'

/**
 * Messages as the API tells them, with all that belongs to them; in the same order. For `viewerId`, with their own
 * reactions.
 */
export async function present(db: CommunicationsExecutor, rows: MessageRow[], viewerId?: string): Promise<Message[]> {
  const ids = rows.map((row) => row.id)
  const replied = rows.flatMap((row) => row.replyTo ?? [])
  const [media, reactions, previews] = await Promise.all([
    findMedia(db, ids),
    findReactions(db, ids, viewerId),
    findPreviews(db, replied),
  ])
  return rows.map((row) => {
    const { counts, mine } = reactions.get(row.id) ?? { counts: [], mine: [] }
    return toMessage(row, {
      media: media.get(row.id) ?? [],
      reactions: counts,
      replyPreview: previews.get(row.replyTo ?? '') ?? null,
      myReactions: mine,
    })
  })
}

export async function presentOne(db: CommunicationsExecutor, row: MessageRow, viewerId?: string): Promise<Message> {
  const [message] = await present(db, [row], viewerId)
  return message!
}

import { channelStream } from '@conntext/contracts'
import { messages } from '@conntext/db-communications'
import { type Appended, appendEvents } from '@conntext/streams'
import { inArray } from 'drizzle-orm'
import { type Dropped, dropUnusedMedia } from '../media/removal.ts'
import { type Transaction, tables } from '../streams/writer.ts'
import { detachMedia, redactEvents } from './queries.ts'
import { type MessageRow, toMessage } from './shape.ts'

/** What went with the messages: the events to publish, and the files that nothing carries any more. */
export type Erased = { events: Appended[]; dropped: Dropped[] }

/**
 * Deletes messages of one channel, whose stream must be locked: takes their words from the rows and from the log, lets
 * go of their files, and appends the events that say so. The rows stay, so that nonces and places stay taken.
 */
export async function eraseMessages(
  tx: Transaction,
  channelId: string,
  rows: MessageRow[],
  deletedAt: Date,
): Promise<Erased> {
  if (rows.length === 0) return { events: [], dropped: [] }
  const stream = channelStream(channelId)
  const ids = rows.map((row) => row.id)
  await tx.update(messages).set({ content: '', deletedAt }).where(inArray(messages.id, ids))
  for (const row of rows) {
    await redactEvents(tx, stream, row, JSON.stringify({ ...toMessage(row, []), content: '' }))
  }
  const events = await appendEvents(
    tx,
    tables,
    rows.map(({ id, seq }) => ({
      stream,
      type: 'message.deleted',
      at: deletedAt.toISOString(),
      data: { id, channelId, seq },
    })),
  )
  const detached = await detachMedia(tx, ids)
  return { events, dropped: await dropUnusedMedia(tx, [...new Set(detached)]) }
}

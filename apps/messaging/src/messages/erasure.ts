import { channelStream } from '@conntext/contracts'
import { messages } from '@conntext/db-communications'
import { type Appended, appendEvents } from '@conntext/streams'
import { inArray } from 'drizzle-orm'
import { type Dropped, dropUnusedMedia } from '../media/removal.ts'
import { deleteMentions } from '../mentions/queries.ts'
import { deleteReactions } from '../reactions/queries.ts'
import { forgetDocuments } from '../search/documents.ts'
import { type Transaction, tables } from '../streams/writer.ts'
import { detachMedia } from './queries.ts'
import { redactEvents, redactQuotes } from './redaction.ts'
import { deleteRevisions } from './revisions.ts'
import type { MessageRow } from './shape.ts'

/** What went with the messages: the events to publish, and the files that nothing carries any more. */
export type Erased = { events: Appended[]; dropped: Dropped[] }

/**
 * Deletes messages of one channel, whose stream must be locked: takes their words from the rows and from the log, lets
 * go of their files, and appends the events that say so; revisions, reactions, pins and mentions go with them. The rows
 * stay, so that nonces and places stay taken. The one place where messages are deleted, but for a whole channel's.
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
  await redactEvents(tx, stream, rows)
  await redactQuotes(tx, stream, ids)
  await tx
    .update(messages)
    .set({ content: '', mentions: null, webhook: null, pinnedAt: null, deletedAt })
    .where(inArray(messages.id, ids))
  await deleteRevisions(tx, ids)
  await deleteReactions(tx, ids)
  await deleteMentions(
    tx,
    channelId,
    rows.map((row) => row.seq),
  )
  await forgetDocuments(tx, channelId, ids)
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

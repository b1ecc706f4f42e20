import { channelStream } from '@conntext/contracts'
import { type Communications, messages, readStates, streamEvents } from '@conntext/db-communications'
import { dropStream, lockStreams } from '@conntext/streams'
import { and, asc, eq, inArray } from 'drizzle-orm'
import { type Dropped, dropUnusedMedia } from '../media/removal.ts'
import { deleteMentions } from '../mentions/queries.ts'
import { forgetDocuments, forgetProgress } from '../search/documents.ts'
import { type Transaction, tables } from '../streams/writer.ts'
import { removeWebhooksOf } from '../webhooks/pictures.ts'
import { detachMedia } from './queries.ts'
import type { MessageRow } from './shape.ts'

const MESSAGES_AT_ONCE = 1000
const EVENTS_AT_ONCE = 5000

/**
 * Removes all that a deleted channel held, in many small transactions. The stream comes last: what is interrupted is
 * finished by a repeat.
 */
export async function purgeChannel(db: Communications, channelId: string): Promise<void> {
  const stream = channelStream(channelId)
  // Under the stream's lock, like whatever else touches a channel's messages: so none of them waits for another.
  const locked = <T>(change: (tx: Transaction) => Promise<T>) =>
    db.transaction(async (tx) => {
      await lockStreams(tx, tables, [stream])
      return change(tx)
    })
  while (await locked((tx) => purgeMessages(tx, channelId)));
  while (await locked((tx) => purgeEvents(tx, stream)));
  await locked(async (tx) => {
    // What was sent meanwhile, by somebody who hadn't heard yet.
    while (await purgeMessages(tx, channelId));
    await tx.delete(readStates).where(eq(readStates.channelId, channelId))
    await forgetProgress(tx, channelId)
    await removeWebhooksOf(tx, channelId)
    await dropStream(tx, tables, stream)
  })
}

async function purgeMessages(tx: Transaction, channelId: string): Promise<boolean> {
  const rows = await tx
    .select({ id: messages.id, seq: messages.seq })
    .from(messages)
    .where(eq(messages.channelId, channelId))
    .orderBy(asc(messages.seq))
    .limit(MESSAGES_AT_ONCE)
  if (rows.length === 0) return false
  await removeMessages(tx, channelId, rows)
  return true
}

/**
 * Removes messages of a channel, whose stream must be locked, with all that belongs to them: not even their rows stay.
 * The log is not looked at. Answers the files that nothing carries any more.
 */
export async function removeMessages(
  tx: Transaction,
  channelId: string,
  rows: Pick<MessageRow, 'id' | 'seq'>[],
): Promise<Dropped[]> {
  const ids = rows.map((row) => row.id)
  const detached = await detachMedia(tx, ids)
  await deleteMentions(
    tx,
    channelId,
    rows.map((row) => row.seq),
  )
  // Revisions and reactions go with their messages.
  await forgetDocuments(tx, channelId, ids)
  await tx.delete(messages).where(inArray(messages.id, ids))
  return dropUnusedMedia(tx, [...new Set(detached)])
}

async function purgeEvents(tx: Transaction, stream: string): Promise<boolean> {
  const some = tx
    .select({ seq: streamEvents.seq })
    .from(streamEvents)
    .where(eq(streamEvents.stream, stream))
    .orderBy(asc(streamEvents.seq))
    .limit(EVENTS_AT_ONCE)
  const gone = await tx
    .delete(streamEvents)
    .where(and(eq(streamEvents.stream, stream), inArray(streamEvents.seq, some)))
    .returning({ seq: streamEvents.seq })
  return gone.length > 0
}

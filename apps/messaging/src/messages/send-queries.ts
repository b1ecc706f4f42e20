import type { Message } from '@conntext/contracts'
import { deletedAuthors, media, messageMedia, messages, streamEvents, streams } from '@conntext/db-communications'
import { accessErrors } from '@conntext/http'
import type { Appended } from '@conntext/streams'
import { asc, inArray, sql } from 'drizzle-orm'
import type { MediaRow } from '../media/shape.ts'
import { NOBODY } from '../mentions/resolve.ts'
import type { Transaction } from '../streams/writer.ts'
import type { MessageRow } from './shape.ts'

// Columns as arrays, and rows as JSON: one statement of one text, whatever the number of rows, so that it is prepared
// once.
const column = (values: unknown[]) => sql.param(values)
const json = (text: string) => sql`${text}::text::json`

export type NonceKey = { authorId: string; channelId: string; nonce: string }

/**
 * The messages that have these nonces already. The channels' streams must be locked: only then is an absent one free.
 */
export async function findByNonces(tx: Transaction, keys: NonceKey[]): Promise<MessageRow[]> {
  if (keys.length === 0) return []
  // Planned anew each time: a kept plan from when the table was small scans it whole (170 ms at 200,000 rows).
  const planning = tx.execute(sql`set local plan_cache_mode = force_custom_plan`)
  const found = tx
    .select()
    .from(messages)
    .where(
      sql`(${messages.authorId}, ${messages.channelId}, ${messages.nonce}) in (
        select "authorId", "channelId", nonce from json_to_recordset(${json(JSON.stringify(keys))})
          as asked ("authorId" uuid, "channelId" uuid, nonce text))
        and ${messages.nonce} is not null`,
    )
  const [, rows] = await Promise.all([planning, found])
  return rows
}

/** The files, held so that nobody can delete them before they are attached. In the order of ids, as everywhere. */
export async function holdMedia(tx: Transaction, ids: string[]): Promise<Map<string, MediaRow>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.select().from(media).where(inArray(media.id, ids)).orderBy(asc(media.id)).for('key share')
  return new Map(rows.map((row) => [row.id, row]))
}

/**
 * Writes new messages with their events, and moves their streams on. The streams must be locked.
 * @throws access.unauthenticated where the account of one of their authors is gone; then nothing may be committed
 */
export async function insertMessages(tx: Transaction, sent: Message[], events: Appended[], at: string): Promise<void> {
  if (sent.length === 0) return
  const authors = column([...new Set(sent.map((message) => message.authorId))])
  const attached = sent.flatMap((message) =>
    message.media.map((file, position) => ({ messageId: message.id, mediaId: file.id, position })),
  )
  // The frames hold all there is to store, and are JSON already: nothing is taken apart or escaped for the way there.
  const frames = json(`[${events.map((event) => event.frame).join(',')}]`)
  // One statement for all: a trip to Postgres costs this process more than a row does.
  const inserted = await tx.execute(sql`with sent as materialized (
      select frame::text as frame, frame ->> 'stream' as stream, message.*
      from json_array_elements(${frames}) as frame,
        json_to_record(frame -> 'd') as message (id uuid, seq bigint, "channelId" uuid, "authorId" uuid, type text,
          nonce text, content text, "replyTo" uuid, mentions jsonb, webhook jsonb)
      where not exists (select from ${deletedAuthors} where user_id = any(${authors}::uuid[]))
    ), logged as (
      insert into ${streamEvents} (id, seq, stream, frame, type, at)
      select id, seq, stream, frame, 'message.created', ${at}::timestamptz from sent
    ), moved as (
      update ${streams} set last_seq = head.seq
      from (select stream, max(seq) as seq from sent group by stream) as head
      where ${streams.name} = head.stream
    )
    insert into ${messages} (id, seq, channel_id, author_id, type, nonce, content, reply_to, mentions, webhook,
      created_at)
    select id, seq, "channelId", "authorId", type, nonce, content, "replyTo",
      nullif(mentions, ${JSON.stringify(NOBODY)}::text::jsonb), webhook - 'id', ${at}::timestamptz from sent`)
  // One look for all of them: which one it was is found out when they are stored singly.
  if (inserted.count === 0) throw accessErrors.unauthenticated()
  if (attached.length > 0) await tx.insert(messageMedia).values(attached)
}

import { messageRevisions, messages, streamEvents } from '@conntext/db-communications'
import { type SQL, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import { type MessageRow, withoutWords } from './shape.ts'

const list = (values: unknown[]) => sql.param(values)

/** Where the log tells these messages: their creation and each of their edits, as (id, seq). */
const places = (which: SQL) => sql`
  with told as (select id, seq, edited_seq from ${messages} where ${which}),
  places as (
    select id, seq from told
    union select id, edited_seq from told where edited_seq is not null
    union select told.id, r.seq from told join ${messageRevisions} r on r.message_id = told.id)`

/**
 * Takes the messages' words out of the log as well: whoever catches up later learns that there was a message and that
 * it was deleted.
 */
export async function redactEvents(tx: Transaction, stream: string, rows: MessageRow[]): Promise<void> {
  const ids = list(rows.map((row) => row.id))
  const left = list(rows.map((row) => JSON.stringify(withoutWords(row))))
  await tx.execute(sql`${places(sql`id = any(${ids}::uuid[])`)}
    update ${streamEvents} e
    set frame = left(frame, position(',"d":{"id":"' || d.id || '",' in frame) - 1) || ',"d":' || d.data || '}'
    from places join unnest(${ids}::uuid[], ${left}::text[]) as d (id, data) on d.id = places.id
    where e.stream = ${stream} and e.seq = places.seq and position(',"d":{"id":"' || d.id || '",' in frame) > 0`)
  // Edited before it was kept where the log tells it.
  for (const row of rows) if (row.editedAt && row.editedSeq === null) await redactByTime(tx, stream, row)
}

async function redactByTime(tx: Transaction, stream: string, row: MessageRow): Promise<void> {
  const start = `,"d":{"id":"${row.id}",`
  // An edit's events lie between the message and its last edit; clocks of two instances may differ a little.
  await tx.execute(sql`update ${streamEvents}
    set frame = left(frame, position(${start} in frame) - 1) || ',"d":' || ${JSON.stringify(withoutWords(row))}::text || '}'
    where stream = ${stream} and seq > ${row.seq} and type = 'message.edited'
      and at <= ${row.editedAt!.toISOString()}::timestamptz + interval '5 minutes' and position(${start} in frame) > 0`)
}

// A preview as it stands in a frame, around the id. What somebody wrote can't look like it: quotes are escaped there.
const PREVIEW = String.raw`("replyPreview":\{"id":"`
const EXCERPT = String.raw`","authorId":"[^"]*",(?:"seq":\d+,)?"excerpt":")(?:[^"\\]|\\.)*","deleted":false(?:,"\w+":"(?:[^"\\]|\\.)*")*\}`
const GONE = String.raw`\1","deleted":true}`

/** Takes the words of deleted messages out of the log where replies quote them. */
export async function redactQuotes(tx: Transaction, stream: string, ids: string[]): Promise<void> {
  await tx.execute(sql`${places(sql`reply_to = any(${list(ids)}::uuid[])`)}
    update ${streamEvents} e
    set frame = regexp_replace(frame, ${PREVIEW}::text || m.reply_to || ${EXCERPT}::text, ${GONE}::text)
    from places join ${messages} m on m.id = places.id
    where e.stream = ${stream} and e.seq = places.seq`)
}

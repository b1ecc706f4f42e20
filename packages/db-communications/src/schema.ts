import { time } from '@conntext/database'
import { idempotencyTable } from '@conntext/idempotency'
import { outboxTable } from '@conntext/outbox'
import { streamTables } from '@conntext/streams'
import { sql } from 'drizzle-orm'
import { bigint, index, integer, pgTable, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

export const { streams, streamEvents } = streamTables()

export const messages = pgTable(
  'messages',
  {
    id: uuid().primaryKey(),
    channelId: uuid('channel_id').notNull(),
    authorId: uuid('author_id').notNull(),
    // The channel stream's number of the message's creation: history is ordered by it.
    seq: bigint({ mode: 'number' }).notNull(),
    nonce: text(),
    content: text().notNull(),
    replyTo: uuid('reply_to'),
    createdAt: time('created_at').notNull(),
    editedAt: time('edited_at'),
    // A deleted message keeps its row without its words, so that its nonce stays taken.
    deletedAt: time('deleted_at'),
  },
  (t) => [
    uniqueIndex('messages_position').on(t.channelId, t.seq),
    uniqueIndex('messages_nonce').on(t.authorId, t.channelId, t.nonce).where(sql`${t.nonce} is not null`),
  ],
)

export const media = pgTable(
  'media',
  {
    id: uuid().primaryKey(),
    ownerId: uuid('owner_id').notNull(),
    filename: text().notNull(),
    contentType: text('content_type').notNull(),
    size: bigint({ mode: 'number' }).notNull(),
    sha256: text().notNull(),
    objectKey: text('object_key').notNull().unique(),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [index('media_owner').on(t.ownerId)],
)

export const messageMedia = pgTable(
  'message_media',
  {
    messageId: uuid('message_id')
      .notNull()
      .references(() => messages.id, { onDelete: 'cascade' }),
    mediaId: uuid('media_id')
      .notNull()
      .references(() => media.id, { onDelete: 'cascade' }),
    position: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.messageId, t.mediaId] }), index('message_media_media').on(t.mediaId)],
)

export const messagingOutbox = outboxTable('messaging_outbox')
export const messagingIdempotencyKeys = idempotencyTable('messaging_idempotency_keys')

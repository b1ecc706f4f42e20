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
    index('messages_author').on(t.authorId, t.channelId).where(sql`${t.deletedAt} is null`),
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

/** Pictures that every member may see, and where they are shown: `server` or `user:<id>`. */
export const publishedImages = pgTable(
  'published_images',
  {
    mediaId: uuid('media_id')
      .notNull()
      .references(() => media.id, { onDelete: 'cascade' }),
    holder: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.mediaId, t.holder] })],
)

/** When somebody last wrote in a channel, while it was in slow mode. */
export const slowModeSends = pgTable(
  'slow_mode_sends',
  {
    channelId: uuid('channel_id').notNull(),
    authorId: uuid('author_id').notNull(),
    sentAt: time('sent_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.channelId, t.authorId] }), index('slow_mode_sends_age').on(t.sentAt)],
)

/** Accounts that are gone: nothing is taken from them, whatever was on its way. */
export const deletedAuthors = pgTable('deleted_authors', { userId: uuid('user_id').primaryKey() })

/** Deletions of somebody's messages: how far each has got, and whether it is done and audited. */
export const messageDeletions = pgTable('message_deletions', {
  id: uuid().primaryKey(),
  deleted: integer().notNull().default(0),
  beganAt: time('began_at').notNull().defaultNow(),
  finishedAt: time('finished_at'),
})

export const messagingOutbox = outboxTable('messaging_outbox')
export const messagingIdempotencyKeys = idempotencyTable('messaging_idempotency_keys')

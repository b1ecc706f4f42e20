import { bytea, knownTimeTable, time } from '@conntext/database'
import { idempotencyTable } from '@conntext/idempotency'
import { outboxTable } from '@conntext/outbox'
import { streamTables } from '@conntext/streams'
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'

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
    type: text().notNull().default('default'),
    content: text().notNull(),
    replyTo: uuid('reply_to'),
    // Whom it mentions, as the API tells it; null for nobody.
    mentions: jsonb(),
    // Of a webhook's message, whose id is its author's: under what name and with which picture it was said.
    webhook: jsonb(),
    createdAt: time('created_at').notNull(),
    editedAt: time('edited_at'),
    // How often it was edited.
    revision: integer().notNull().default(0),
    // The channel stream's number of its last edit.
    editedSeq: bigint('edited_seq', { mode: 'number' }),
    pinnedAt: time('pinned_at'),
    // A deleted message keeps its row without its words, so that its nonce stays taken.
    deletedAt: time('deleted_at'),
  },
  (t) => [
    uniqueIndex('messages_position').on(t.channelId, t.seq),
    uniqueIndex('messages_nonce').on(t.authorId, t.channelId, t.nonce).where(sql`${t.nonce} is not null`),
    index('messages_author').on(t.authorId, t.channelId, t.seq).where(sql`${t.deletedAt} is null`),
    index('messages_pins').on(t.channelId, t.pinnedAt, t.id).where(sql`${t.pinnedAt} is not null`),
    index('messages_replies').on(t.replyTo).where(sql`${t.replyTo} is not null`),
  ],
)

/**
 * What an edited message said before: `revision` 0 is what was sent. Of one that is edited very often the oldest have no
 * words any more; where they stand in the log is kept, for they go from there with the message.
 */
export const messageRevisions = pgTable(
  'message_revisions',
  {
    messageId: uuid('message_id')
      .notNull()
      .references(() => messages.id, { onDelete: 'cascade' }),
    revision: integer().notNull(),
    content: text(),
    // Since when it said so, and the channel stream's number of the event that told it.
    writtenAt: time('written_at').notNull(),
    seq: bigint({ mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.messageId, t.revision] })],
)

export const messageReactions = pgTable(
  'message_reactions',
  {
    messageId: uuid('message_id')
      .notNull()
      .references(() => messages.id, { onDelete: 'cascade' }),
    emoji: text().notNull(),
    userId: uuid('user_id').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.messageId, t.emoji, t.userId] }),
    index('message_reactions_user').on(t.userId, t.messageId),
  ],
)

/** How many people reacted with an emoji: kept, since a page of messages is not to count ten thousand rows of each. */
export const messageReactionCounts = pgTable(
  'message_reaction_counts',
  {
    messageId: uuid('message_id')
      .notNull()
      .references(() => messages.id, { onDelete: 'cascade' }),
    emoji: text().notNull(),
    count: integer().notNull(),
    // The channel stream's number of the first of them: emoji are shown in this order.
    firstSeq: bigint('first_seq', { mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.messageId, t.emoji] })],
)

/**
 * Whom messages called when they were sent, for counting what somebody hasn't read: `targetId` is a user, a role, or
 * the channel itself for everyone.
 */
export const messageMentions = pgTable(
  'message_mentions',
  {
    targetId: uuid('target_id').notNull(),
    channelId: uuid('channel_id').notNull(),
    // The message's.
    seq: bigint({ mode: 'number' }).notNull(),
    authorId: uuid('author_id').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.targetId, t.channelId, t.seq] }),
    index('message_mentions_message').on(t.channelId, t.seq),
  ],
)

/** Up to where somebody has read a channel: a number of its stream. It only rises. */
export const readStates = pgTable(
  'read_states',
  {
    userId: uuid('user_id').notNull(),
    channelId: uuid('channel_id').notNull(),
    lastReadSeq: bigint('last_read_seq', { mode: 'number' }).notNull(),
    readAt: time('read_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.channelId] }), index('read_states_channel').on(t.channelId)],
)

/**
 * The bytes of files, in the object store. Several files may share one: those that were uploaded from the same bytes by
 * whoever could see both. One that no file points to any more is deleted, row first.
 */
export const mediaObjects = pgTable(
  'media_objects',
  {
    id: uuid().primaryKey(),
    key: text().notNull().unique(),
    // Of what was uploaded: of a picture, less is kept.
    uploadedSha256: text('uploaded_sha256').notNull(),
    uploadedSize: bigint('uploaded_size', { mode: 'number' }).notNull(),
    thumbnailKey: text('thumbnail_key').unique(),
    thumbnailSize: integer('thumbnail_size'),
    createdAt: time('created_at').notNull(),
    // When it was looked at for what it is the same as, and for what it shows.
    processedAt: time('processed_at'),
    attempts: integer().notNull().default(0),
    claimedUntil: time('claimed_until'),
  },
  (t) => [
    index('media_objects_content').on(t.uploadedSha256),
    index('media_objects_due').on(t.createdAt).where(sql`${t.processedAt} is null`),
  ],
)

/** Files. What is said of the bytes is the same for all that share an object. */
export const media = pgTable(
  'media',
  {
    id: uuid().primaryKey(),
    ownerId: uuid('owner_id').notNull(),
    filename: text().notNull(),
    contentType: text('content_type').notNull(),
    size: bigint({ mode: 'number' }).notNull(),
    sha256: text().notNull(),
    objectId: uuid('object_id')
      .notNull()
      .references(() => mediaObjects.id),
    // A picture is shown to others only once it is `ready`: until then it tells where it was taken. Of one that is `lost`
    // the bytes are gone.
    state: text({ enum: ['processing', 'ready', 'lost'] }).notNull(),
    width: integer(),
    height: integer(),
    thumbnail: boolean().notNull().default(false),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [index('media_owner').on(t.ownerId), index('media_object').on(t.objectId)],
)

/** Uploads that arrive in parts. Its id becomes the file's. */
export const mediaUploads = pgTable(
  'media_uploads',
  {
    id: uuid().primaryKey(),
    ownerId: uuid('owner_id').notNull(),
    filename: text().notNull(),
    // As the client sent it, and gets it back.
    metadata: text(),
    size: bigint({ mode: 'number' }).notNull(),
    objectKey: text('object_key').notNull().unique(),
    handle: text().notNull(),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    finishedAt: time('finished_at'),
    // Whoever is adding to it, while they go on renewing it, and whether they are asked to let go.
    lease: uuid(),
    leasedUntil: time('leased_until'),
    wanted: boolean().notNull().default(false),
  },
  (t) => [index('media_uploads_owner').on(t.ownerId), index('media_uploads_expiry').on(t.expiresAt)],
)

/** How much is stored for a person (by id), and in all (`server`); `reserved` is what uploads under way may still take. */
export const mediaUsage = pgTable('media_usage', {
  holder: text().primaryKey(),
  bytes: bigint({ mode: 'number' }).notNull().default(0),
  files: integer().notNull().default(0),
  reserved: bigint({ mode: 'number' }).notNull().default(0),
})

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

/** Passes that are deleting what a channel keeps no longer: how far each has got. It is audited when it is over. */
export const messageExpiries = pgTable('message_expiries', {
  channelId: uuid('channel_id').primaryKey(),
  messages: integer().notNull().default(0),
  files: integer().notNull().default(0),
  beganAt: time('began_at').notNull(),
})

/** Direct messages and groups: who may be in their streams stands here, not in the permission snapshot. */
export const conversations = pgTable('conversations', {
  // The id of its stream and of its messages' channel.
  id: uuid().primaryKey(),
  kind: text({ enum: ['oneToOne', 'group'] }).notNull(),
  // What there may be only one of: the two people's ids in order, or a group's maker and nonce.
  key: text().unique(),
  name: text(),
  // A group's; nobody owns what two people share.
  ownerId: uuid('owner_id'),
  // The stream's number of the last change of name or participants; 0 before there was one.
  version: bigint({ mode: 'number' }).notNull().default(0),
  createdAt: time('created_at').notNull(),
  // When it was made, or the last message came.
  activeAt: time('active_at').notNull(),
})

export const conversationParticipants = pgTable(
  'conversation_participants',
  {
    conversationId: uuid('conversation_id')
      .notNull()
      .references(() => conversations.id, { onDelete: 'cascade' }),
    userId: uuid('user_id').notNull(),
    joinedAt: time('joined_at').notNull(),
    // Out of this person's list until the next message.
    hidden: boolean().notNull().default(false),
    // How far the stream has reached a device of theirs; how far they have read stands with the read states.
    deliveredSeq: bigint('delivered_seq', { mode: 'number' }).notNull().default(0),
    // What is shown of both instead, as it was when one of two people blocked the other; null while neither does.
    shownDeliveredSeq: bigint('shown_delivered_seq', { mode: 'number' }),
    shownReadSeq: bigint('shown_read_seq', { mode: 'number' }),
  },
  (t) => [primaryKey({ columns: [t.conversationId, t.userId] }), index('conversation_participants_user').on(t.userId)],
)

/** Whom somebody doesn't want to be written to by. */
export const blocks = pgTable(
  'blocks',
  {
    userId: uuid('user_id').notNull(),
    blockedId: uuid('blocked_id').notNull(),
    createdAt: time('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.blockedId] }), index('blocks_blocked').on(t.blockedId)],
)

/** Who may begin a conversation with somebody; no row: everyone. */
export const contactSettings = pgTable('contact_settings', {
  userId: uuid('user_id').primaryKey(),
  dmsFrom: text('dms_from', { enum: ['everyone', 'nobody'] }).notNull(),
})

/** Addresses at which programs write into a channel. */
export const webhooks = pgTable(
  'webhooks',
  {
    // Also the author of its messages.
    id: uuid().primaryKey(),
    channelId: uuid('channel_id').notNull(),
    name: text().notNull(),
    avatarId: uuid('avatar_id'),
    mentionEveryone: boolean('mention_everyone').notNull(),
    createdBy: uuid('created_by').notNull(),
    createdAt: time('created_at').notNull(),
    // Plain SHA-256: of 256 random bits nothing can be guessed, so a key would add nothing.
    secretHash: bytea('secret_hash').notNull(),
    // How many messages it had left at that time: its rate is one for all instances.
    allowance: doublePrecision().notNull(),
    allowanceAt: time('allowance_at').notNull(),
  },
  (t) => [index('webhooks_channel').on(t.channelId, t.id)],
)

/** Calls of channels and conversations: what was, told by the nodes that had them. */
export const calls = pgTable(
  'calls',
  {
    id: uuid().primaryKey(),
    channelId: uuid('channel_id').notNull(),
    startedAt: time('started_at').notNull(),
    // Null while somebody is in it.
    endedAt: time('ended_at'),
    // Why the last one was in it no more.
    ending: text(),
    // How many were in it at once, at most.
    peak: integer().notNull(),
    // What was audited last of it: that it began, once two people have met; that it is over.
    audited: text({ enum: ['started', 'ended'] }),
  },
  (t) => [
    index('calls_channel').on(t.channelId, t.id),
    index('calls_age').on(t.endedAt),
    index('calls_unsettled').on(t.endedAt).where(sql`${t.audited} = 'started'`),
  ],
)

/** Who was in a call, from joining to leaving. Whoever leaves and joins again is in it twice. */
export const callParticipations = pgTable(
  'call_participations',
  {
    id: uuid().primaryKey(),
    callId: uuid('call_id')
      .notNull()
      .references(() => calls.id, { onDelete: 'cascade' }),
    // What the node calls the call: one that moved to another node has several such names.
    partId: uuid('part_id').notNull(),
    userId: uuid('user_id').notNull(),
    joinedAt: time('joined_at').notNull(),
    leftAt: time('left_at'),
    ending: text(),
    // When its node last told of it.
    heardAt: time('heard_at').notNull(),
    spoke: boolean().notNull(),
    camera: boolean().notNull(),
    screen: boolean().notNull(),
  },
  (t) => [
    index('call_participations_call').on(t.callId, t.id),
    index('call_participations_part').on(t.partId),
    index('call_participations_user').on(t.userId, t.id),
    index('call_participations_open').on(t.heardAt).where(sql`${t.leftAt} is null`),
  ],
)

const tsvector = customType<{ data: string }>({ dataType: () => 'tsvector' })

/** The words of a message, and what else it is searched by, as `@conntext/search-text` makes them. */
export const searchDocuments = pgTable(
  'search_documents',
  {
    messageId: uuid('message_id')
      .primaryKey()
      .references(() => messages.id, { onDelete: 'cascade' }),
    channelId: uuid('channel_id').notNull(),
    createdAt: time('created_at').notNull(),
    words: tsvector().notNull(),
  },
  (t) => [
    index('search_documents_words').using('gin', t.words),
    index('search_documents_age').on(t.createdAt, t.messageId),
  ],
)

/** Up to where each channel's messages are among the search documents: a number of its stream. */
export const searchProgress = pgTable('search_progress', {
  channelId: uuid('channel_id').primaryKey(),
  indexedSeq: bigint('indexed_seq', { mode: 'number' }).notNull(),
})

export const messagingOutbox = outboxTable('messaging_outbox')
export const messagingIdempotencyKeys = idempotencyTable('messaging_idempotency_keys')
export const messagingKnownTime = knownTimeTable('messaging_known_time')

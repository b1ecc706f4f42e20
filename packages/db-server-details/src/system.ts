import { bytea, knownTimeTable, time } from '@conntext/database'
import { idempotencyTable } from '@conntext/idempotency'
import { dataKeyTable } from '@conntext/keyring'
import { outboxTable } from '@conntext/outbox'
import { streamTables } from '@conntext/streams'
import { sql } from 'drizzle-orm'
import {
  type AnyPgColumn,
  bigint,
  boolean,
  date,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'

/** One row. */
export const serverSettings = pgTable('server_settings', {
  id: integer().primaryKey(),
  name: text().notNull(),
  description: text(),
  registrationMode: text('registration_mode', { enum: ['open', 'invite', 'closed'] }).notNull(),
  maxMessageLength: integer('max_message_length').notNull(),
  maxFileBytes: bigint('max_file_bytes', { mode: 'number' }).notNull(),
  maxMediaPerMessage: integer('max_media_per_message').notNull(),
  iconId: uuid('icon_id'),
  requireMfa: boolean('require_mfa').notNull().default(false),
  requireModerationReason: boolean('require_moderation_reason').notNull().default(false),
  // Where it is said that somebody has joined; null for nowhere.
  systemChannelId: uuid('system_channel_id').references((): AnyPgColumn => channels.id, { onDelete: 'set null' }),
  // What new text channels begin with.
  messageRetentionDays: integer('message_retention_days'),
  // Null: it stays known who was in which call.
  callRetentionDays: integer('call_retention_days'),
  // Since when the server takes no changes; null: it does.
  maintenanceSince: time('maintenance_since'),
  maintenanceMessage: text('maintenance_message'),
  // When it is expected to be over.
  maintenanceUntil: time('maintenance_until'),
  // Null for the operator beside the server.
  maintenanceBy: uuid('maintenance_by'),
  // How much all processes log; null: as much as each was started with.
  logLevel: text('log_level', { enum: ['debug', 'info', 'warn', 'error'] }),
  // For how long what they log is kept in ClickHouse.
  logRetentionDays: integer('log_retention_days').notNull().default(14),
  createdAt: time('created_at').notNull().defaultNow(),
  // Rises with every change of settings, channels and overrides.
  version: bigint({ mode: 'number' }).notNull().default(0),
})

/** What the settings were before each change, and after it. Never changed; deleted when there are too many. */
export const settingsHistory = pgTable('settings_history', {
  id: uuid().primaryKey(),
  changedAt: time('changed_at').notNull(),
  // Null for the operator beside the server.
  changedBy: uuid('changed_by'),
  reason: text(),
  // The change that this one took back.
  restores: uuid(),
  changes: jsonb().$type<Record<string, { from: unknown; to: unknown }>>().notNull(),
})

/** How much each store held, once a day. */
export const storageSamples = pgTable(
  'storage_samples',
  {
    day: date({ mode: 'string' }).notNull(),
    store: text().notNull(),
    bytes: bigint({ mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.day, t.store] })],
)

export const channels = pgTable(
  'channels',
  {
    id: uuid().primaryKey(),
    name: text().notNull(),
    nameKey: text('name_key').notNull(),
    type: text({ enum: ['text', 'voice', 'category'] }).notNull(),
    parentId: uuid('parent_id').references((): AnyPgColumn => channels.id, { onDelete: 'set null' }),
    topic: text(),
    slowModeSeconds: integer('slow_mode_seconds').notNull().default(0),
    // Null: messages stay until somebody deletes them.
    messageRetentionDays: integer('message_retention_days'),
    // Of a voice channel; null: none of its own.
    userLimit: integer('user_limit'),
    audioBitrate: integer('audio_bitrate'),
    videoLimit: integer('video_limit'),
    position: integer().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [uniqueIndex('channels_name_key').on(t.type, t.nameKey), index('channels_parent').on(t.parentId)],
)

export const channelOverrides = pgTable(
  'channel_overrides',
  {
    channelId: uuid('channel_id')
      .notNull()
      .references(() => channels.id, { onDelete: 'cascade' }),
    targetKind: text('target_kind', { enum: ['role', 'member'] }).notNull(),
    targetId: uuid('target_id').notNull(),
    allow: text().array().notNull(),
    deny: text().array().notNull(),
  },
  (t) => [primaryKey({ columns: [t.channelId, t.targetId] })],
)

export const invites = pgTable(
  'invites',
  {
    id: uuid().primaryKey(),
    // The code is found by its keyed hash, and can be shown again from its sealed form.
    codeHash: bytea('code_hash').notNull().unique(),
    codeSealed: bytea('code_sealed').notNull(),
    dataKeyId: uuid('data_key_id').notNull(),
    creatorId: uuid('creator_id').notNull(),
    roleId: uuid('role_id'),
    maxUses: integer('max_uses'),
    uses: integer().notNull().default(0),
    expiresAt: time('expires_at'),
    revokedAt: time('revoked_at'),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [index('invites_created').on(t.createdAt).where(sql`${t.revokedAt} is null`)],
)

/** Who used which invite; the row is there before the account is, so that a use can't be taken twice. */
export const inviteRedemptions = pgTable(
  'invite_redemptions',
  {
    userId: uuid('user_id').primaryKey(),
    inviteId: uuid('invite_id')
      .notNull()
      .references(() => invites.id, { onDelete: 'cascade' }),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [index('invite_redemptions_invite').on(t.inviteId)],
)

export const { streams, streamEvents } = streamTables()
export const systemDataKeys = dataKeyTable('system_data_keys')
export const systemOutbox = outboxTable('system_outbox')
export const systemIdempotencyKeys = idempotencyTable('system_idempotency_keys')
export const systemKnownTime = knownTimeTable('system_known_time')

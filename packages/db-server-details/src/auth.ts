import { bytea, time } from '@conntext/database'
import { idempotencyTable } from '@conntext/idempotency'
import { outboxTable } from '@conntext/outbox'
import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, pgTable, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

export const users = pgTable(
  'users',
  {
    id: uuid().primaryKey(),
    username: text().notNull(),
    // Lower case: what makes a name unique.
    usernameKey: text('username_key').notNull(),
    displayName: text('display_name'),
    email: text(),
    emailKey: text('email_key'),
    standing: text({ enum: ['active', 'banned', 'left', 'deleted'] })
      .notNull()
      .default('active'),
    timedOutUntil: time('timed_out_until'),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [uniqueIndex('users_username_key').on(t.usernameKey), uniqueIndex('users_email_key').on(t.emailKey)],
)

export const credentials = pgTable('credentials', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  passwordHash: text('password_hash').notNull(),
  changedAt: time('changed_at').notNull().defaultNow(),
})

export const sessions = pgTable(
  'sessions',
  {
    id: uuid().primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: time('created_at').notNull().defaultNow(),
    lastUsedAt: time('last_used_at').notNull().defaultNow(),
    expiresAt: time('expires_at').notNull(),
    revokedAt: time('revoked_at'),
    // Address and user agent, sealed under a data key.
    metadata: bytea().notNull(),
    dataKeyId: uuid('data_key_id').notNull(),
  },
  (t) => [
    index('sessions_user').on(t.userId),
    index('sessions_revoked').on(t.revokedAt).where(sql`${t.revokedAt} is not null`),
  ],
)

/** One row for each refresh token ever given out in a living session: a used one that comes back is a theft. */
export const refreshTokens = pgTable(
  'refresh_tokens',
  {
    hash: bytea().primaryKey(),
    sessionId: uuid('session_id')
      .notNull()
      .references(() => sessions.id, { onDelete: 'cascade' }),
    createdAt: time('created_at').notNull().defaultNow(),
    usedAt: time('used_at'),
  },
  (t) => [index('refresh_tokens_session').on(t.sessionId)],
)

/** Keys that data is encrypted under, each wrapped by the master key, which is never stored here. */
export const dataKeys = pgTable('data_keys', {
  id: uuid().primaryKey(),
  wrapped: bytea().notNull(),
  createdAt: time('created_at').notNull().defaultNow(),
})

/** Ed25519 keys that sign access tokens; the newest that is not retired signs, all of them verify. */
export const signingKeys = pgTable('signing_keys', {
  id: text().primaryKey(),
  publicKey: text('public_key').notNull(),
  privateKey: bytea('private_key').notNull(),
  dataKeyId: uuid('data_key_id').notNull(),
  createdAt: time('created_at').notNull().defaultNow(),
  retiredAt: time('retired_at'),
})

/** Failed logins, by keyed hash of the account's name or of the address. */
export const loginFailures = pgTable('login_failures', {
  subject: bytea().primaryKey(),
  failures: integer().notNull(),
  lastFailedAt: time('last_failed_at').notNull(),
})

export const roles = pgTable(
  'roles',
  {
    id: uuid().primaryKey(),
    name: text().notNull(),
    nameKey: text('name_key').notNull(),
    colour: text(),
    position: integer().notNull(),
    permissions: text().array().notNull(),
    isEveryone: boolean('is_everyone').notNull().default(false),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [
    uniqueIndex('roles_name_key').on(t.nameKey),
    uniqueIndex('roles_everyone').on(t.isEveryone).where(sql`${t.isEveryone}`),
  ],
)

export const memberRoles = pgTable(
  'member_roles',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    roleId: uuid('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
  },
  (t) => [primaryKey({ columns: [t.userId, t.roleId] }), index('member_roles_role').on(t.roleId)],
)

/** One row. `version` rises with every change of roles; with the channels' version it makes the snapshot's. */
export const authorityState = pgTable('authority_state', {
  id: integer().primaryKey(),
  version: bigint({ mode: 'number' }).notNull().default(0),
  ownerId: uuid('owner_id').references(() => users.id),
})

export const authOutbox = outboxTable('auth_outbox')
export const authIdempotencyKeys = idempotencyTable('auth_idempotency_keys')

import { bytea, knownTimeTable, time } from '@conntext/database'
import { idempotencyTable } from '@conntext/idempotency'
import { dataKeyTable } from '@conntext/keyring'
import { outboxTable } from '@conntext/outbox'
import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, pgTable, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

export const users = pgTable(
  'users',
  {
    id: uuid().primaryKey(),
    kind: text({ enum: ['user', 'bot'] })
      .notNull()
      .default('user'),
    // Whose bot it is.
    createdBy: uuid('created_by'),
    username: text().notNull(),
    // Lower case: what it is found by.
    usernameKey: text('username_key').notNull(),
    // The same for names that look alike: see `usernameSkeleton` of auth.
    usernameSkeleton: text('username_skeleton').notNull(),
    displayName: text('display_name'),
    nickname: text(),
    email: text(),
    emailKey: text('email_key'),
    emailVerifiedAt: time('email_verified_at'),
    avatarId: uuid('avatar_id'),
    statusText: text('status_text'),
    statusEmoji: text('status_emoji'),
    statusExpiresAt: time('status_expires_at'),
    standing: text({ enum: ['active', 'banned', 'left', 'deleted'] })
      .notNull()
      .default('active'),
    timedOutUntil: time('timed_out_until'),
    createdAt: time('created_at').notNull().defaultNow(),
    // Later than `createdAt` for who has left and come back.
    joinedAt: time('joined_at').notNull().defaultNow(),
  },
  (t) => [
    uniqueIndex('users_username_key').on(t.usernameKey),
    uniqueIndex('users_username_skeleton').on(t.usernameSkeleton),
    uniqueIndex('users_email_key').on(t.emailKey),
    index('users_created_by').on(t.createdBy).where(sql`${t.createdBy} is not null`),
  ],
)

/** Who is banned, as long as they are; `users.standing` says the same. */
export const bans = pgTable(
  'bans',
  {
    userId: uuid('user_id')
      .primaryKey()
      .references(() => users.id, { onDelete: 'cascade' }),
    bannedBy: uuid('banned_by').notNull(),
    reason: text(),
    createdAt: time('created_at').notNull().defaultNow(),
    expiresAt: time('expires_at'),
  },
  (t) => [index('bans_expiry').on(t.expiresAt).where(sql`${t.expiresAt} is not null`)],
)

/** Passwords; an account that logs in by other means has none. */
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
    // When the person last proved who they are, and by what: `amr` values of RFC 8176.
    authenticatedAt: time('authenticated_at').notNull().defaultNow(),
    methods: text().array().notNull().default(sql`'{}'`),
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
    // The token that it was exchanged for, sealed under a key that only this token's bearer can derive.
    successor: bytea(),
  },
  (t) => [index('refresh_tokens_session').on(t.sessionId)],
)

/**
 * Single-use tokens and the state of what is under way: password resets, email verifications, logins that wait for a
 * second factor, passkey and OIDC ceremonies. Found by keyed hash; `data` is sealed.
 */
export const validationTokens = pgTable(
  'validation_tokens',
  {
    hash: bytea().primaryKey(),
    purpose: text().notNull(),
    userId: uuid('user_id').references(() => users.id, { onDelete: 'cascade' }),
    data: bytea(),
    dataKeyId: uuid('data_key_id'),
    // Failed tries to use it, where tries are limited.
    attempts: integer().notNull().default(0),
    createdAt: time('created_at').notNull().defaultNow(),
    expiresAt: time('expires_at').notNull(),
  },
  (t) => [index('validation_tokens_user').on(t.userId, t.purpose), index('validation_tokens_expiry').on(t.expiresAt)],
)

/** A person's TOTP secret (RFC 6238); it counts once `confirmedAt` is set. */
export const totpSecrets = pgTable('totp_secrets', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  secret: bytea().notNull(),
  dataKeyId: uuid('data_key_id').notNull(),
  confirmedAt: time('confirmed_at'),
  // The time step of the last code that was taken: no code is taken twice.
  lastStep: bigint('last_step', { mode: 'number' }),
  createdAt: time('created_at').notNull().defaultNow(),
})

/** Codes for the day on which every other second factor is lost; each works once. */
export const recoveryCodes = pgTable(
  'recovery_codes',
  {
    hash: bytea().primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    usedAt: time('used_at'),
    createdAt: time('created_at').notNull().defaultNow(),
  },
  (t) => [index('recovery_codes_user').on(t.userId)],
)

/** WebAuthn credentials (https://www.w3.org/TR/webauthn-3/). */
export const passkeys = pgTable(
  'passkeys',
  {
    id: uuid().primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    credentialId: bytea('credential_id').notNull(),
    publicKey: bytea('public_key').notNull(),
    counter: bigint({ mode: 'number' }).notNull(),
    transports: text().array().notNull(),
    deviceType: text('device_type', { enum: ['singleDevice', 'multiDevice'] }).notNull(),
    backedUp: boolean('backed_up').notNull(),
    name: text().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    lastUsedAt: time('last_used_at'),
  },
  (t) => [uniqueIndex('passkeys_credential').on(t.credentialId), index('passkeys_user').on(t.userId)],
)

/** OpenID Connect providers that people may log in with. */
export const oidcProviders = pgTable('oidc_providers', {
  // What stands in the path.
  id: text().primaryKey(),
  name: text().notNull(),
  issuer: text().notNull(),
  clientId: text('client_id').notNull(),
  clientSecret: bytea('client_secret'),
  dataKeyId: uuid('data_key_id'),
  scopes: text().array().notNull(),
  enabled: boolean().notNull().default(true),
  createdAt: time('created_at').notNull().defaultNow(),
})

/** Who an account is at an OIDC provider. */
export const identities = pgTable(
  'identities',
  {
    id: uuid().primaryKey(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    providerId: text('provider_id')
      .notNull()
      .references(() => oidcProviders.id, { onDelete: 'cascade' }),
    subject: text().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    lastUsedAt: time('last_used_at'),
  },
  (t) => [
    uniqueIndex('identities_subject').on(t.providerId, t.subject),
    uniqueIndex('identities_user').on(t.userId, t.providerId),
  ],
)

/** API tokens: found by keyed hash, shown once. */
export const apiTokens = pgTable(
  'api_tokens',
  {
    id: uuid().primaryKey(),
    hash: bytea().notNull().unique(),
    // In whose name it acts: a person or a bot.
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdBy: uuid('created_by').notNull(),
    name: text().notNull(),
    scopes: text().array().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    expiresAt: time('expires_at'),
    lastUsedAt: time('last_used_at'),
    revokedAt: time('revoked_at'),
  },
  (t) => [
    index('api_tokens_user').on(t.userId),
    index('api_tokens_creator').on(t.createdBy),
    index('api_tokens_revoked').on(t.revokedAt).where(sql`${t.revokedAt} is not null`),
  ],
)

export const dataKeys = dataKeyTable('data_keys')

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
    // Counts only for who has a second factor.
    requireMfa: boolean('require_mfa').notNull().default(false),
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
export const authKnownTime = knownTimeTable('auth_known_time')

import { fileURLToPath } from 'node:url'
import {
  assertMigrated,
  backupUser,
  type Database,
  type DatabaseOptions,
  knownMigrations,
  migrateDatabase,
  migrateDatabaseTo,
  openDatabase,
  provisionUsers,
} from '@conntext/database'
import * as schema from './schema.ts'

export * from './rows.ts'
export * from './schema.ts'

export const SERVER_DETAILS = 'server_details'
export type ServerDetails = Database<typeof schema>
/** The pool, or the transaction that is open: queries take either. */
export type ServerDetailsExecutor = Pick<
  ServerDetails,
  'select' | 'insert' | 'update' | 'delete' | 'execute' | 'transaction'
>

export const openServerDetails = (options: DatabaseOptions): ServerDetails => openDatabase(schema, options)

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url))

export const migrateServerDetails = (url: string): Promise<void> => migrateDatabase({ url, folder: MIGRATIONS })

/** Brings a new database to an older release's schema: for what is restored into it. */
export const migrateServerDetailsTo = (url: string, last: number): Promise<void> =>
  migrateDatabaseTo({ url, folder: MIGRATIONS, last })

export const knownServerDetailsMigrations = () => knownMigrations(MIGRATIONS)

/** @throws SchemaBehind while the schema is older than this release */
export const assertServerDetailsMigrated = (db: ServerDetails): Promise<void> => assertMigrated(db, MIGRATIONS)

/** Each table has one writing service; the other service of this database reads what is not secret. */
export const provisionServerDetails = (
  url: string,
  passwords: { auth: string; system: string; backup?: string | undefined },
): Promise<void> =>
  provisionUsers({
    url,
    secret: [
      'credentials',
      'refresh_tokens',
      'data_keys',
      'system_data_keys',
      'signing_keys',
      'login_failures',
      'validation_tokens',
      'totp_secrets',
      'recovery_codes',
      'passkeys',
      'oidc_providers',
      'identities',
      'api_tokens',
      'invites',
      'auth_outbox',
      'system_outbox',
      'auth_idempotency_keys',
      'system_idempotency_keys',
      'audit_keys',
      'audit_pending',
      'audit_verifications',
      'backups',
      'settings_history',
    ],
    users: [
      {
        name: 'conntext_auth',
        password: passwords.auth,
        owns: [
          'users',
          'bans',
          'credentials',
          'sessions',
          'refresh_tokens',
          'validation_tokens',
          'totp_secrets',
          'recovery_codes',
          'passkeys',
          'oidc_providers',
          'identities',
          'api_tokens',
          'data_keys',
          'signing_keys',
          'login_failures',
          'roles',
          'member_roles',
          'authority_state',
          'auth_outbox',
          'auth_idempotency_keys',
          'auth_known_time',
        ],
      },
      {
        name: 'conntext_system',
        password: passwords.system,
        owns: [
          'server_settings',
          'channels',
          'channel_overrides',
          'invites',
          'invite_redemptions',
          'system_data_keys',
          'streams',
          'stream_events',
          'system_outbox',
          'system_idempotency_keys',
          'system_known_time',
          'audit_log',
          'audit_keys',
          'audit_batches',
          'audit_pending',
          'audit_cuts',
          'audit_erasures',
          'audit_retention',
          'audit_verifications',
          'audit_tasks',
          'backups',
          'settings_history',
          'storage_samples',
        ],
      },
      ...(passwords.backup === undefined ? [] : [backupUser(passwords.backup)]),
    ],
  })

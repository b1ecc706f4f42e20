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

export * from './schema.ts'

export const COMMUNICATIONS = 'communications'
export type Communications = Database<typeof schema>
/** The pool, or the transaction that is open: queries take either. */
export type CommunicationsExecutor = Pick<
  Communications,
  'select' | 'insert' | 'update' | 'delete' | 'execute' | 'transaction'
>

export const openCommunications = (options: DatabaseOptions): Communications => openDatabase(schema, options)

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url))

export const migrateCommunications = (url: string): Promise<void> => migrateDatabase({ url, folder: MIGRATIONS })

/** Brings a new database to an older release's schema: for what is restored into it. */
export const migrateCommunicationsTo = (url: string, last: number): Promise<void> =>
  migrateDatabaseTo({ url, folder: MIGRATIONS, last })

export const knownCommunicationsMigrations = () => knownMigrations(MIGRATIONS)

/** @throws SchemaBehind while the schema is older than this release */
export const assertCommunicationsMigrated = (db: Communications): Promise<void> => assertMigrated(db, MIGRATIONS)

export const provisionCommunications = (
  url: string,
  passwords: { messaging: string; realtime: string; backup?: string | undefined },
): Promise<void> =>
  provisionUsers({
    url,
    secret: ['messaging_outbox', 'messaging_idempotency_keys', 'webhooks'],
    users: [
      {
        name: 'conntext_messaging',
        password: passwords.messaging,
        owns: [
          'streams',
          'stream_events',
          'messages',
          'message_revisions',
          'message_reactions',
          'message_reaction_counts',
          'message_mentions',
          'read_states',
          'media_objects',
          'media',
          'media_uploads',
          'media_usage',
          'message_media',
          'published_images',
          'slow_mode_sends',
          'deleted_authors',
          'message_deletions',
          'message_expiries',
          'conversations',
          'conversation_participants',
          'blocks',
          'contact_settings',
          'webhooks',
          'calls',
          'call_participations',
          'search_documents',
          'search_progress',
          'messaging_outbox',
          'messaging_idempotency_keys',
          'messaging_known_time',
        ],
      },
      { name: 'conntext_realtime', password: passwords.realtime, owns: [] },
      ...(passwords.backup === undefined ? [] : [backupUser(passwords.backup)]),
    ],
  })

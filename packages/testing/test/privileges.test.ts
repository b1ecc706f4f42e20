import { describe, expect, test } from 'bun:test'
import { openDatabase } from '@conntext/database'
import * as communications from '@conntext/db-communications'
import { provisionCommunications } from '@conntext/db-communications'
import * as serverDetails from '@conntext/db-server-details'
import { provisionServerDetails } from '@conntext/db-server-details'
import { getTableColumns, is, sql } from 'drizzle-orm'
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import { testCommunications, testServerDetails } from '../src/index.ts'
import { asAdmin } from './support/sql.ts'

type Privilege = { table: string; writer: string | undefined; secret?: true }

// By hand, so that a table which changes hands is noticed here too.
const SERVER_DETAILS: Privilege[] = [
  { table: 'users', writer: 'auth' },
  { table: 'bans', writer: 'auth' },
  { table: 'credentials', writer: 'auth', secret: true },
  { table: 'sessions', writer: 'auth' },
  { table: 'refresh_tokens', writer: 'auth', secret: true },
  { table: 'validation_tokens', writer: 'auth', secret: true },
  { table: 'totp_secrets', writer: 'auth', secret: true },
  { table: 'recovery_codes', writer: 'auth', secret: true },
  { table: 'passkeys', writer: 'auth', secret: true },
  { table: 'oidc_providers', writer: 'auth', secret: true },
  { table: 'identities', writer: 'auth', secret: true },
  { table: 'api_tokens', writer: 'auth', secret: true },
  { table: 'data_keys', writer: 'auth', secret: true },
  { table: 'signing_keys', writer: 'auth', secret: true },
  { table: 'login_failures', writer: 'auth', secret: true },
  { table: 'roles', writer: 'auth' },
  { table: 'member_roles', writer: 'auth' },
  { table: 'authority_state', writer: 'auth' },
  { table: 'auth_outbox', writer: 'auth', secret: true },
  { table: 'auth_idempotency_keys', writer: 'auth', secret: true },
  { table: 'auth_known_time', writer: 'auth' },
  { table: 'server_settings', writer: 'system' },
  { table: 'channels', writer: 'system' },
  { table: 'channel_overrides', writer: 'system' },
  { table: 'invites', writer: 'system', secret: true },
  { table: 'invite_redemptions', writer: 'system' },
  { table: 'system_data_keys', writer: 'system', secret: true },
  { table: 'streams', writer: 'system' },
  { table: 'stream_events', writer: 'system' },
  { table: 'system_outbox', writer: 'system', secret: true },
  { table: 'system_idempotency_keys', writer: 'system', secret: true },
  { table: 'system_known_time', writer: 'system' },
  { table: 'audit_log', writer: 'system' },
  { table: 'audit_keys', writer: 'system', secret: true },
  { table: 'audit_batches', writer: 'system' },
  { table: 'audit_pending', writer: 'system', secret: true },
  { table: 'audit_cuts', writer: 'system' },
  { table: 'audit_erasures', writer: 'system' },
  { table: 'audit_retention', writer: 'system' },
  { table: 'audit_verifications', writer: 'system', secret: true },
  { table: 'audit_tasks', writer: 'system' },
  { table: 'backups', writer: 'system', secret: true },
  { table: 'settings_history', writer: 'system', secret: true },
  { table: 'storage_samples', writer: 'system' },
]
const COMMUNICATIONS: Privilege[] = [
  { table: 'streams', writer: 'messaging' },
  { table: 'stream_events', writer: 'messaging' },
  { table: 'messages', writer: 'messaging' },
  { table: 'message_revisions', writer: 'messaging' },
  { table: 'message_reactions', writer: 'messaging' },
  { table: 'message_reaction_counts', writer: 'messaging' },
  { table: 'message_mentions', writer: 'messaging' },
  { table: 'read_states', writer: 'messaging' },
  { table: 'media_objects', writer: 'messaging' },
  { table: 'media', writer: 'messaging' },
  { table: 'media_uploads', writer: 'messaging' },
  { table: 'media_usage', writer: 'messaging' },
  { table: 'message_media', writer: 'messaging' },
  { table: 'published_images', writer: 'messaging' },
  { table: 'slow_mode_sends', writer: 'messaging' },
  { table: 'deleted_authors', writer: 'messaging' },
  { table: 'message_deletions', writer: 'messaging' },
  { table: 'message_expiries', writer: 'messaging' },
  { table: 'blocks', writer: 'messaging' },
  { table: 'contact_settings', writer: 'messaging' },
  { table: 'webhooks', writer: 'messaging', secret: true },
  { table: 'calls', writer: 'messaging' },
  { table: 'call_participations', writer: 'messaging' },
  { table: 'search_documents', writer: 'messaging' },
  { table: 'search_progress', writer: 'messaging' },
  { table: 'conversations', writer: 'messaging' },
  { table: 'conversation_participants', writer: 'messaging' },
  { table: 'messaging_outbox', writer: 'messaging', secret: true },
  { table: 'messaging_idempotency_keys', writer: 'messaging', secret: true },
  { table: 'messaging_known_time', writer: 'messaging' },
]

// What a user may do to a database itself is not cloned with it.
async function ownServerDetails() {
  const databases = await testServerDetails()
  await provisionServerDetails(databases.adminUrl, { auth: 'test', system: 'test', backup: 'test' })
  return databases
}
async function ownCommunications() {
  const databases = await testCommunications()
  await provisionCommunications(databases.adminUrl, { messaging: 'test', realtime: 'test', backup: 'test' })
  return databases
}

const tablesOf = (schema: object) => Object.values(schema).filter((one): one is PgTable => is(one, PgTable))

/** Tries each way of touching each table as a service's user, in a transaction that is rolled back. */
async function privileges(adminUrl: string, service: string, tables: PgTable[]) {
  const url = Object.assign(new URL(adminUrl), { username: `conntext_${service}`, password: 'test' }).href
  const db = openDatabase({}, { url, poolSize: 1, applicationName: 'test' })
  const may = async (statement: ReturnType<typeof sql>) => {
    const error = await db
      .transaction(async (tx) => {
        await tx.execute(statement)
        tx.rollback()
      })
      .catch((error: { cause?: { code?: string } }) => error)
    // 42501: insufficient privilege. Whatever else went wrong, it was allowed to try.
    return (error as { cause?: { code?: string } }).cause?.code !== '42501'
  }
  const found: Record<string, { read: boolean; write: boolean[] }> = {}
  for (const table of tables) {
    const { name } = getTableConfig(table)
    // Not the first one, which may be an identity that nobody may set.
    const column = sql.identifier(Object.values(getTableColumns(table)).at(-1)!.name)
    const at = sql.identifier(name)
    found[name] = {
      read: await may(sql`select 1 from ${at}`),
      write: [
        await may(sql`insert into ${at} default values`),
        await may(sql`update ${at} set ${column} = ${column}`),
        await may(sql`delete from ${at}`),
      ],
    }
  }
  const more = [
    await may(sql`create table mine (id int)`),
    await may(sql`create temporary table mine (id int)`),
    await may(sql`truncate ${sql.identifier(getTableConfig(tables[0]!).name)}`),
    await may(sql`create role mine`),
    await may(sql`select pg_read_file('postgresql.conf')`),
    await may(sql`insert into drizzle.__drizzle_migrations (hash) values ('mine')`),
    await may(sql`delete from drizzle.__drizzle_migrations`),
  ]
  await db.close()
  return { found, more }
}

function expected(service: string, list: Privilege[]) {
  return Object.fromEntries(
    list.map(({ table, writer, secret }) => {
      const own = writer === service
      return [table, { read: own || !secret, write: [own, own, own] }]
    }),
  )
}

describe('a service writes its own tables alone, and reads what is not secret', () => {
  test.each(['auth', 'system'])('%s in the Server Details database', async (service) => {
    await using it = await ownServerDetails()
    const { found, more } = await privileges(it.adminUrl, service, tablesOf(serverDetails))
    expect(found).toEqual(expected(service, SERVER_DETAILS))
    expect(more).toEqual(more.map(() => false))
  })

  test.each(['messaging', 'realtime'])('%s in the Communication database', async (service) => {
    await using it = await ownCommunications()
    const { found, more } = await privileges(it.adminUrl, service, tablesOf(communications))
    expect(found).toEqual(expected(service, COMMUNICATIONS))
    expect(more).toEqual(more.map(() => false))
  })

  test('who makes backups reads everything and writes nothing', async () => {
    await using details = await ownServerDetails()
    await using words = await ownCommunications()
    for (const [url, schema] of [
      [details.adminUrl, serverDetails],
      [words.adminUrl, communications],
    ] as const) {
      const { found } = await privileges(url, 'backup', tablesOf(schema))
      const names = Object.keys(found)
      expect(found).toEqual(
        Object.fromEntries(names.map((name) => [name, { read: true, write: [false, false, false] }])),
      )
    }
  })

  test('and none gets into the database of the others', async () => {
    await using serverDetails = await ownServerDetails()
    await using communications = await ownCommunications()
    for (const [url, user] of [
      [serverDetails.adminUrl, 'conntext_messaging'],
      [communications.adminUrl, 'conntext_auth'],
    ] as const) {
      const stranger = Object.assign(new URL(url), { username: user, password: 'test' }).href
      const entering = asAdmin(stranger, (client) => client`select 1`)
      // The driver's queries run only when they are waited for.
      await expect(entering.then((rows) => rows.length)).rejects.toThrow('permission denied for database')
    }
  })
})

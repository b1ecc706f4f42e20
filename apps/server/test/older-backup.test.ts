import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assertRestorable, verifyBackup, writeBackup } from '@conntext/backup'
import { createDatabase, openDatabase } from '@conntext/database'
import { type Audit, type AuditConnection, auditMigrations, migrateAudit, openAudit } from '@conntext/db-audit'
import { assertCommunicationsMigrated, migrateCommunicationsTo, openCommunications } from '@conntext/db-communications'
import { assertServerDetailsMigrated, migrateServerDetailsTo, openServerDetails } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { type ObjectStore, openFilesystemStore } from '@conntext/object-store'
import { testClickHouse, testServerDetails } from '@conntext/testing'
import { sql } from 'drizzle-orm'
import { restoreInto } from '../src/cli/backup/data.ts'
import { known } from '../src/cli/backup/known.ts'

// A server of the first release that had backups: its schemas have fewer tables and columns than this one's.
const FIRST = { communications: 10, serverDetails: 8, audit: 2 }
const secret = { passphrase: 'nine very ordinary words that nobody would think of' }
const now = new Date()
const ids = { olga: newId(), maxim: newId(), conversation: newId(), message: newId(), file: newId(), event: newId() }

let directory: string
let stores: Awaited<ReturnType<typeof testServerDetails>>
let older: Awaited<ReturnType<typeof startOlder>>
const undo: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-older-'))
  stores = await testServerDetails()
  older = await startOlder()
}, 60_000)

afterAll(async () => {
  for (const step of undo) await step()
  await stores?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

async function emptyPlace() {
  const urls = { communications: '', serverDetails: '' }
  for (const name of ['communications', 'serverDetails'] as const) {
    const database = `t_${crypto.randomUUID().replaceAll('-', '')}`
    await createDatabase(stores.adminUrl, database)
    urls[name] = Object.assign(new URL(stores.adminUrl), { pathname: `/${database}` }).href
    undo.unshift(() => run(stores.adminUrl, `drop database "${database}" with (force)`))
  }
  const engine = await testClickHouse()
  const connection: AuditConnection = { ...engine, log: silentLogger }
  const audit = openAudit(connection)
  undo.unshift(async () => {
    await audit.close()
    await engine[Symbol.asyncDispose]()
  })
  return { urls, connection, audit, objects: await openFilesystemStore(join(directory, newId())) }
}

// biome-ignore lint/suspicious/noExplicitAny: rows of whatever is asked for
async function run(url: string, text: string): Promise<any[]> {
  const db = openDatabase({}, { url, poolSize: 1, applicationName: 'older backup' })
  try {
    return await db.execute(sql.raw(text))
  } finally {
    await db.close()
  }
}

async function startOlder() {
  const place = await emptyPlace()
  const { urls } = place
  await migrateCommunicationsTo(urls.communications, known.communications[FIRST.communications]!.at)
  await migrateServerDetailsTo(urls.serverDetails, known.serverDetails[FIRST.serverDetails]!.at)
  await migrateAudit(place.connection, auditMigrations.slice(0, FIRST.audit))
  await fill(place)
  return place
}

/** Two people, a conversation between them in which one blocks the other, a file, and what the trail has of it. */
async function fill({ urls, audit, objects }: { urls: Record<string, string>; audit: Audit; objects: ObjectStore }) {
  const at = `'${now.toISOString()}'`
  const { olga, maxim, conversation, message, file, event } = ids
  const { sha256, size } = await objects.put(`media/${file}`, new Uint8Array(5_000).fill(7))
  await run(
    urls.serverDetails!,
    ['olga', 'maxim']
      .map((name) => [ids[name as 'olga' | 'maxim'], name])
      .map(
        ([id, name]) =>
          `insert into users (id, username, username_key, username_skeleton) values ('${id}', '${name}', '${name}', '${name}')`,
      )
      .join(';'),
  )
  const key = [olga, maxim].sort().join(':')
  await run(
    urls.communications!,
    `insert into conversations (id, kind, key, created_at, active_at) values ('${conversation}', 'oneToOne', '${key}', ${at}, ${at});
     insert into conversation_participants (conversation_id, user_id, joined_at, delivered_seq)
       values ('${conversation}', '${olga}', ${at}, 9), ('${conversation}', '${maxim}', ${at}, 4);
     insert into read_states (user_id, channel_id, last_read_seq, read_at) values ('${olga}', '${conversation}', 3, ${at});
     insert into blocks (user_id, blocked_id, created_at) values ('${olga}', '${maxim}', ${at});
     insert into messages (id, channel_id, author_id, seq, content, created_at)
       values ('${message}', '${conversation}', '${olga}', 1, E'of an older\\\\release\\t\\n', ${at});
     insert into media_objects (id, key, uploaded_sha256, uploaded_size, created_at)
       values ('${file}', 'media/${file}', '${sha256}', ${size}, ${at});
     insert into streams (name, last_seq) values ('channel:${conversation}', 12)`,
  )
  await audit.mutate({
    sql: `INSERT INTO events (id, occurred_at, received_at, service, action, severity, outcome, actor_kind, target_kind, data)
      VALUES ('${event}', '2025-01-02 03:04:05.678', '2025-01-02 03:04:06.000', 'auth', 'role.created', 'info', 'done', 'user', 'role', '{}')`,
    params: {},
  })
}

async function backUp(key: string) {
  const target = await openFilesystemStore(join(directory, 'backups'))
  const { urls, audit, objects } = older
  await writeBackup(
    { serverDetailsUrl: urls.serverDetails, communicationsUrl: urls.communications, audit, objects },
    {
      id: newId(),
      release: '0.9.0',
      sealing: secret,
      logs: false,
      now,
      target,
      key,
      signal: new AbortController().signal,
    },
  )
  const open = async () => (await target.get(key)).body
  const file = {
    name: key,
    read: async <T>(_: string, use: (sealed: ReadableStream<Uint8Array>) => Promise<T>) => use(await open()),
  }
  return { file, verified: await verifyBackup(await open(), secret) }
}

test('a backup of an older release is restored as it was and brought up to date', async () => {
  const { file, verified } = await backUp('older.age')
  expect(verified.snapshot.tables.map(({ name }) => name)).not.toContain('settings_history')
  assertRestorable(verified, { known, masterKeys: [] })
  const into = await emptyPlace()
  await migrateAudit(into.connection)
  await restoreInto(into, { file, secret, verified })

  const { urls, audit, objects } = into
  const details = openServerDetails({ url: urls.serverDetails, poolSize: 1, applicationName: 'older backup' })
  const communications = openCommunications({ url: urls.communications, poolSize: 1, applicationName: 'older backup' })
  try {
    await assertServerDetailsMigrated(details)
    await assertCommunicationsMigrated(communications)
  } finally {
    await details.close()
    await communications.close()
  }
  const [message] = await run(urls.communications, 'select content from messages')
  expect(message.content).toBe('of an older\\release\t\n')
  const [stream] = await run(urls.communications, 'select last_seq::int as seq from streams')
  expect(stream.seq).toBe(1_000_012)
  // A later migration works out what is shown between the two, from what the backup had.
  const marks = await run(
    urls.communications,
    `select shown_read_seq::int as read, shown_delivered_seq::int as delivered from conversation_participants
     where user_id = '${ids.olga}'`,
  )
  expect(marks.map(({ read, delivered }) => [read, delivered])).toEqual([[3, 9]])
  const people = await run(urls.serverDetails, 'select username from users order by 1')
  expect(people.map(({ username }) => username)).toEqual(['maxim', 'olga'])
  const [restored] = await run(
    urls.serverDetails,
    `select payload->'data' as data from system_outbox where topic = 'audit'`,
  )
  expect(restored.data).toMatchObject({ release: '0.9.0' })
  const events = await audit.rows<{ id: string; at: string }>({
    sql: 'SELECT id, toString(occurred_at) AS at FROM events',
    params: {},
  })
  expect(events).toEqual([{ id: ids.event, at: '2025-01-02 03:04:05.678' }])
  const { body } = await objects.get(`media/${ids.file}`)
  expect(
    (await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).bytes()).every((byte) => byte === 7),
  ).toBe(true)
}, 60_000)

test('one of a newer release is refused, whichever of its schemas is ahead', async () => {
  const ahead = { drizzle: `insert into drizzle.__drizzle_migrations (hash, created_at) values ('of tomorrow', 1)` }
  await run(older.urls.communications, ahead.drizzle)
  const { verified } = await backUp('newer.age')
  const refused = 'whose schema this release does not know'
  expect(() => assertRestorable(verified, { known, masterKeys: [] })).toThrow(refused)
  await run(older.urls.communications, `delete from drizzle.__drizzle_migrations where hash = 'of tomorrow'`)
  await older.audit.mutate({ sql: `INSERT INTO migrations (version, name) VALUES (9999, 'of tomorrow')`, params: {} })
  const { verified: audit } = await backUp('newer-audit.age')
  expect(() => assertRestorable(audit, { known, masterKeys: [] })).toThrow(refused)
}, 60_000)

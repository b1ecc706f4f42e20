import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from '@conntext/database'
import { auditMigrations, type EventRow, migrateAudit, openAudit } from '@conntext/db-audit'
import {
  knownCommunicationsMigrations,
  mediaObjects,
  messages,
  migrateCommunicationsTo,
} from '@conntext/db-communications'
import { knownServerDetailsMigrations, migrateServerDetailsTo, users } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { openFilesystemStore } from '@conntext/object-store'
import { testClickHouse, testCommunications, testServerDetails } from '@conntext/testing'
import postgres from 'postgres'
import type { BackupOrder, BackupSource, KnownMigrations, VerifiedBackup } from '../src/index.ts'

export const known: KnownMigrations = {
  communications: knownCommunicationsMigrations(),
  serverDetails: knownServerDetailsMigrations(),
  audit: auditMigrations.map(({ version }) => version),
}

export const event = (fields: Partial<EventRow> = {}): EventRow => ({
  id: newId(),
  occurred_at: new Date().toISOString(),
  received_at: new Date().toISOString(),
  service: 'auth',
  action: 'role.deleted',
  severity: 'info',
  outcome: 'done',
  actor_kind: 'user',
  actor_id: newId(),
  session_id: null,
  address: '192.0.2.7',
  user_agent: 'über "quoted"\\ \n',
  target_kind: 'role',
  target_id: newId(),
  data: '{"name":"x"}',
  personal: '',
  reason: null,
  request_id: null,
  trace_id: null,
  ...fields,
})

export const PASSPHRASE = 'nine very ordinary words that nobody would think of'

/** A server's stores with something in them, and a place for backups. */
export async function startWorld() {
  const [details, communications, clickhouse] = await Promise.all([
    testServerDetails(),
    testCommunications(),
    testClickHouse(),
  ])
  const directory = await mkdtemp(join(tmpdir(), 'conntext-backup-'))
  await migrateAudit({ ...clickhouse, log: silentLogger })
  const audit = openAudit({ ...clickhouse, log: silentLogger })
  const objects = await openFilesystemStore(join(directory, 'media'))
  const target = await openFilesystemStore(join(directory, 'backups'))
  const source: BackupSource = {
    serverDetailsUrl: details.adminUrl,
    communicationsUrl: communications.adminUrl,
    audit,
    objects,
  }
  const made: (() => Promise<unknown>)[] = []
  return {
    directory,
    details,
    communications,
    audit,
    objects,
    target,
    source,
    order: (change: Partial<BackupOrder> = {}): BackupOrder => ({
      id: newId(),
      release: '1.2.3',
      sealing: { passphrase: PASSPHRASE },
      logs: false,
      now: new Date(),
      target,
      key: 'one.age',
      signal: new AbortController().signal,
      ...change,
    }),
    async addMessage(content = 'hello\tthere\\ \n\u{1f600}') {
      const channelId = newId()
      const row = { id: newId(), channelId, authorId: newId(), seq: 1, content, createdAt: new Date() }
      await communications.messaging.insert(messages).values(row)
    },
    async addUser() {
      const name = newId()
      await details.auth
        .insert(users)
        .values({ id: newId(), username: name, usernameKey: name, usernameSkeleton: name })
    },
    async addObject(bytes = 100_000) {
      const id = newId()
      const key = `media/${id}`
      const body = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)))
      const data = new Uint8Array(bytes).map((_, at) => body[at % body.length]!)
      const { sha256 } = await objects.put(key, data)
      const row = { id, key, uploadedSha256: sha256, uploadedSize: bytes, createdAt: new Date() }
      await communications.messaging.insert(mediaObjects).values(row)
      return { id, key }
    },
    addEvents: (count: number) =>
      audit.insert(
        'events',
        Array.from({ length: count }, () => event()),
        newId(),
      ),
    /** An empty server whose schema is the backup's. */
    async emptyServer({ snapshot }: VerifiedBackup) {
      const urls = { communications: '', serverDetails: '' }
      for (const name of ['communications', 'serverDetails'] as const) {
        const database = `t_${crypto.randomUUID().replaceAll('-', '')}`
        await createDatabase(details.adminUrl, database)
        urls[name] = Object.assign(new URL(details.adminUrl), { pathname: `/${database}` }).href
        made.push(async () => {
          const admin = postgres(details.adminUrl, { max: 1, onnotice: () => {} })
          await admin`drop database ${admin(database)} with (force)`
          await admin.end()
        })
      }
      await migrateCommunicationsTo(urls.communications, snapshot.migrations.communications.at(-1)!.at)
      await migrateServerDetailsTo(urls.serverDetails, snapshot.migrations.serverDetails.at(-1)!.at)
      const engine = await testClickHouse()
      await migrateAudit({ ...engine, log: silentLogger })
      const restored = openAudit({ ...engine, log: silentLogger })
      made.push(async () => {
        await restored.close()
        await engine[Symbol.asyncDispose]()
      })
      return { urls, audit: restored, objects: await openFilesystemStore(join(directory, newId())) }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(made.map((undo) => undo()))
      await audit.close()
      await Promise.all([details, communications, clickhouse].map((one) => one[Symbol.asyncDispose]()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}
export type World = Awaited<ReturnType<typeof startWorld>>

/** What every table holds, as Postgres itself sums it up: of the present, or of another transaction's snapshot. */
export async function sumsOf(url: string, snapshot?: string): Promise<Record<string, string>> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  const connection = await client.reserve()
  try {
    await connection.unsafe('begin isolation level repeatable read read only')
    if (snapshot) await connection.unsafe(`set transaction snapshot '${snapshot}'`)
    const names = await connection`select tablename as name from pg_tables where schemaname = 'public' order by 1`
    const sums: Record<string, string> = {}
    for (const { name } of names) {
      const [row] = await connection.unsafe(
        `select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') as sum
         from "${name}" t`,
      )
      sums[name] = row!.sum
    }
    return sums
  } finally {
    await client.end({ timeout: 0 })
  }
}

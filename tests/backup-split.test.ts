import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { createClient } from '@clickhouse/client'
import {
  type Backup,
  createBackup,
  createChannel,
  createInvite,
  download,
  getBackup,
  listMessages,
  login,
  type Message,
  sendMessage,
  unwrap,
  updateChannel,
} from '@conntext/sdk'
import { eventually, objectStorage } from '@conntext/testing'
import {
  type Balancer,
  canSplit,
  type Engines,
  type Split,
  type SplitProcess,
  startBalancer,
  startEngines,
  startSplit,
} from '@conntext/testing/split'
import { openAdmin, seeWhatTheBackupSees, sumsOf, urlOf } from './backup/snapshots.ts'
import { conntextWith } from './command/conntext.ts'
import { join, type Person } from './conversation/people.ts'
import { upload } from './conversation/scenario.ts'

// The services apart make a backup into a bucket while people go on, and other, empty engines are filled with it.
const possible = await canSplit()
const MINUTES = 240_000
const PASSWORD = 'a long enough password'

describe.skipIf(!possible)('a backup of the split deployment', () => {
  let kept: string
  let identity: string
  let backups: Record<string, string>
  let split: Split
  let balancer: Balancer
  let empty: Engines
  let owner: Person

  beforeAll(async () => {
    kept = await mkdtemp(joinPath(tmpdir(), 'conntext-kept-'))
    identity = joinPath(kept, 'identity')
    const pair = await conntextWith({}, 'backup', 'key')
    await writeFile(identity, pair.out)
    const s3 = (await objectStorage())!
    backups = {
      CONNTEXT_BACKUP_RECIPIENTS: /age1\w+/.exec(pair.out)![0],
      CONNTEXT_BACKUP_S3_ENDPOINT: s3.endpoint,
      CONNTEXT_BACKUP_S3_BUCKET: `backups-${crypto.randomUUID()}`,
      CONNTEXT_BACKUP_S3_ACCESS_KEY: s3.accessKey,
      CONNTEXT_BACKUP_S3_SECRET_KEY: s3.secretKey,
    }
    ;[split, empty] = await Promise.all([
      startSplit({ gateways: 1, messaging: 1, env: { ...backups, CONNTEXT_RATE_CREDENTIALS: '0' } }),
      startEngines(),
    ])
    balancer = await startBalancer(split.urls)
    owner = await join(balancer.url, 'olga', { setupCode: split.setupCode })
  }, MINUTES)

  afterAll(async () => {
    owner?.gateway.close()
    await balancer?.[Symbol.asyncDispose]()
    await split?.[Symbol.asyncDispose]()
    await empty?.[Symbol.asyncDispose]()
    await rm(kept, { recursive: true, force: true })
  }, MINUTES)

  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  /** Messages, files, channels that change and people who come, until it is ended. */
  function load(channelId: string, inviteCode: string) {
    const { client } = owner.api
    const people: string[] = []
    let going = true
    const send = async (content: string, mediaIds: string[] = []) =>
      unwrap(sendMessage({ client, path: { channelId }, body: { content, mediaIds } }))
    const again = async (work: (i: number) => Promise<unknown>) => {
      for (let i = 0; going; i += 1) await work(i)
    }
    const all = Promise.all([
      again((i) => send(`under load ${i}`)),
      again(async (i) => {
        const file = await upload(owner, crypto.getRandomValues(new Uint8Array(20_000)), `${i}.bin`)
        await send(`file ${i}`, [file.id])
      }),
      again((i) => unwrap(updateChannel({ client, path: { channelId }, body: { topic: `topic ${i}` } }))),
      again(async (i) => {
        const name = `guest${i}`
        const person = await join(balancer.url, name, { inviteCode })
        person.gateway.close()
        people.push(name)
      }),
    ])
    return {
      people,
      async end() {
        going = false
        await all
      },
    }
  }

  /** Where the restored deployment's services find what they need. */
  function environmentOf({ name }: SplitProcess): Record<string, string> {
    const admin = empty.env.CONNTEXT_POSTGRES_ADMIN_URL!
    const url = (user: string, database: 'server_details' | 'communications') =>
      Object.assign(new URL(urlOf(admin, database)), { username: `conntext_${user}`, password: '' }).href
    const of: Record<string, Record<string, string>> = {
      auth: { CONNTEXT_SERVER_DETAILS_URL: url('auth', 'server_details') },
      system: {
        CONNTEXT_SERVER_DETAILS_URL: url('system', 'server_details'),
        CONNTEXT_BACKUP_DATABASE_URL: url('backup', 'server_details'),
      },
      messaging: { CONNTEXT_COMMUNICATIONS_URL: url('messaging', 'communications') },
    }
    const { CONNTEXT_POSTGRES_ADMIN_URL: _, ...engines } = empty.env
    return { ...engines, ...of[name] }
  }

  const eventsOf = async ({ env }: Engines, lastBatch: number): Promise<string[]> => {
    const client = createClient({
      url: env.CONNTEXT_CLICKHOUSE_URL!,
      username: env.CONNTEXT_CLICKHOUSE_USER!,
      password: env.CONNTEXT_CLICKHOUSE_PASSWORD!,
      database: 'audit',
    })
    try {
      const query = `SELECT * FROM events WHERE batch <= ${lastBatch} ORDER BY batch, batch_index`
      const rows = await client.query({ query, format: 'JSONEachRow' })
      return (await rows.text()).trimEnd().split('\n')
    } finally {
      await client.close()
    }
  }

  test(
    'made under load it is restored identical, row by row, event by event and byte by byte, and the services go on with it',
    async () => {
      const { client } = owner.api
      const channel = await unwrap(createChannel({ client, body: { name: 'plans', type: 'text' } }))
      const invite = await unwrap(createInvite({ client, body: {} }))
      const big = crypto.getRandomValues(new Uint8Array(65_536))
      const film = await upload(
        owner,
        new Uint8Array(12_000_000).map((_, i) => big[i % 65_536]! ^ (i >> 16)),
        'film.bin',
      )
      await unwrap(
        sendMessage({ client, path: { channelId: channel.id }, body: { content: 'film', mediaIds: [film.id] } }),
      )
      const going = load(channel.id, invite.code)
      await eventually(() => going.people.length > 0 || undefined, 60_000)

      const admin = split.engines.env.CONNTEXT_POSTGRES_ADMIN_URL!
      let backup!: Backup
      await using same = await seeWhatTheBackupSees(admin, async () => {
        backup = await unwrap(createBackup({ client, body: {} }))
      })
      const done = await eventually(async () => {
        backup = await unwrap(getBackup({ client, path: { id: backup.id } }))
        if (backup.state === 'failed') throw new Error(backup.error!)
        return backup.state === 'done' ? backup : undefined
      }, 60_000)
      await going.end()
      expect(done.missingObjects).toBe(0)
      const { communications, server_details: details } = same.seen
      const expected = {
        details: await sumsOf(details, 'before'),
        communications: await sumsOf(communications, 'before'),
      }
      const [last] = await details`select max(number)::int as batch from audit_batches`
      const files = await communications`select id, sha256 from media`
      const [names] = await details`select array_agg(username) as all from users`
      const live = openAdmin(admin, 'communications')
      expect((await sumsOf(live, 'before')).messages).not.toBe(expected.communications.messages!)
      await live.end()

      // Fetched over a line that breaks.
      const path = joinPath(kept, 'one.tar.age')
      const fetched = await download(owner.api, `/v1/system/backups/${done.id}/content`, { pauseMs: 50 })
      const chunks: Uint8Array[] = []
      const reader = fetched.body.getReader()
      let got = 0
      let isCut = false
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        chunks.push(read.value)
        got += read.value.length
        if (isCut || got < 1_000_000) continue
        isCut = true
        balancer.cut()
      }
      const whole = Buffer.concat(chunks)
      expect([whole.length, digest(whole)]).toEqual([done.size!, done.sha256!])
      await writeFile(path, whole)

      for (const one of split.processes) await one.kill('SIGTERM')
      const operator = { ...split.operatorEnv, ...backups, ...empty.env }
      const verified = await conntextWith(operator, 'backup', 'verify', done.name, '--identity', identity)
      expect(verified).toMatchObject({ code: 0, out: expect.stringContaining('whole and unchanged') })
      const restored = await conntextWith(operator, 'backup', 'restore', path, '--identity', identity)
      expect({ code: restored.code, err: restored.err }).toMatchObject({ code: 0 })
      const target = empty.env.CONNTEXT_POSTGRES_ADMIN_URL!
      const filled = [openAdmin(target, 'server_details'), openAdmin(target, 'communications')] as const
      expect(await sumsOf(filled[0], 'after')).toEqual(expected.details)
      expect(await sumsOf(filled[1], 'after')).toEqual(expected.communications)
      for (const one of filled) await one.end()
      const again = await conntextWith(operator, 'backup', 'restore', path, '--identity', identity)
      expect(again).toMatchObject({ code: 1, err: expect.stringContaining('not empty') })

      const migrated = await conntextWith({ ...split.migrateEnv, ...empty.env }, 'migrate')
      expect(migrated).toMatchObject({ code: 0 })
      for (const one of split.processes) one.launch(environmentOf(one))
      await Promise.all(split.processes.map((one) => one.ready()))

      const guest = (names!.all as string[]).find((name) => name.startsWith('guest'))!
      for (const name of ['olga', guest]) {
        await unwrap(login({ client, body: { login: name, password: PASSWORD } }))
      }
      owner.api.use((await unwrap(login({ client, body: { login: 'olga', password: PASSWORD } }))) as never)
      const { items } = await unwrap(listMessages({ client, path: { channelId: channel.id }, query: { limit: '10' } }))
      const sent: Message = await unwrap(
        sendMessage({ client, path: { channelId: channel.id }, body: { content: 'and on' } }),
      )
      expect(sent.seq).toBeGreaterThan(Math.max(...items.map(({ seq }) => seq)))
      expect(files.length).toBeGreaterThan(1)
      for (const { id, sha256 } of files) {
        const { body } = await download(owner.api, `/v1/media/${id}/content`)
        expect(digest(await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).bytes())).toBe(sha256)
      }
      const audit = await conntextWith(operator, 'audit', 'verify')
      expect(audit).toMatchObject({ code: 0, err: expect.stringContaining('all as it was written') })
      expect(await eventsOf(empty, last!.batch)).toEqual(await eventsOf(split.engines, last!.batch))
    },
    MINUTES,
  )
})

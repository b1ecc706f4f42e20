import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newBackupIdentity, verifyBackup } from '@conntext/backup'
import type { Backup } from '@conntext/contracts'
import { type ObjectStore, openFilesystemStore, openS3Store } from '@conntext/object-store'
import { eventually, testCommunications } from '@conntext/testing'
import { lazily } from '../src/backups/settings.ts'
import type { BackupPlace } from '../src/service.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

const MINUTES = 120_000
const PATH = '/v1/system/backups'

let system: System
let manager: Caller
let identity: string
let place: BackupPlace
let target: ObjectStore
let directory: string
let communications: Awaited<ReturnType<typeof testCommunications>>
let instance: Awaited<ReturnType<System['another']>>

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-backups-'))
  communications = await testCommunications()
  system = await startSystem()
  const pair = await newBackupIdentity()
  identity = pair.identity
  target = await openFilesystemStore(join(directory, 'backups'))
  place = {
    serverDetailsUrl: system.databases.adminUrl,
    communicationsUrl: communications.adminUrl,
    objects: await openFilesystemStore(join(directory, 'media')),
    target,
    sealing: { recipients: [pair.recipient] },
    everyHours: undefined,
    keep: 2,
  }
  instance = await system.another({ backups: place })
  manager = await system.member('system.manage')
}, MINUTES)

afterAll(async () => {
  await instance?.service.stop()
  await system?.[Symbol.asyncDispose]()
  await communications?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}, MINUTES)

const ask = (method: string, path: string, caller: Caller | null = manager, body?: object, headers = {}) =>
  instance.service.app.handle(
    new Request(`http://localhost${path}`, {
      method,
      headers: {
        ...(caller && { authorization: `Bearer ${caller.token}` }),
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body ? JSON.stringify(body) : null,
    }),
  )
const ended = (id: string) =>
  eventually(async () => {
    const backup = (await (await ask('GET', `${PATH}/${id}`)).json()) as Backup
    return backup.finishedAt === null ? undefined : backup
  })
async function make(): Promise<Backup> {
  const answer = await ask('POST', PATH, manager, {})
  expect(answer.status).toBe(202)
  return ended(((await answer.json()) as Backup).id)
}

test(
  'a backup that was asked for is made, listed, downloaded whole and deleted with its file, all of it audited',
  async () => {
    const backup = await make()
    expect(backup).toMatchObject({ state: 'done', trigger: 'asked', missingObjects: 0, error: null })
    expect(backup.doneBytes).toBe(backup.totalBytes!)
    const list = (await (await ask('GET', PATH)).json()) as { items: Backup[] }
    expect(list.items.map(({ id }) => id)).toContain(backup.id)
    const content = await ask('GET', `${PATH}/${backup.id}/content`)
    expect(content.headers.get('content-length')).toBe(String(backup.size))
    const { header } = await verifyBackup(content.body as ReadableStream<Uint8Array>, { identities: [identity] })
    expect(header).toMatchObject({ id: backup.id, release: '1.2.3' })
    expect((await ask('DELETE', `${PATH}/${backup.id}`)).status).toBe(204)
    expect((await target.list()).objects).toEqual([])
    expect((await ask('GET', `${PATH}/${backup.id}`)).status).toBe(404)
    for (const action of ['backup.asked', 'backup.created', 'backup.downloaded', 'backup.deleted']) {
      expect((await system.trail(action))[0]!.target.id).toBe(backup.id)
    }
  },
  MINUTES,
)

test(
  'a download goes on where it was cut off, as long as the file is the same; a look at it is none',
  async () => {
    const { id, size, sha256, name } = await make()
    const get = (headers: Record<string, string> = {}, method = 'GET') =>
      ask(method, `${PATH}/${id}/content`, manager, undefined, headers)
    const bytesOf = async (answer: Response) => Buffer.from(await answer.bytes())
    const etag = `"${sha256}"`

    const head = await get({ range: 'bytes=5-' }, 'HEAD')
    expect([head.status, head.body]).toEqual([200, null])
    expect(Object.fromEntries(head.headers)).toMatchObject({
      etag,
      'accept-ranges': 'bytes',
      'content-length': String(size),
      'content-disposition': `attachment; filename="${name}"`,
      'last-modified': expect.stringMatching(/ GMT$/),
    })
    const whole = await bytesOf(await get())
    expect(whole.length).toBe(size!)
    const first = await get({ range: 'bytes=0-999' })
    expect([first.status, first.headers.get('content-range')]).toEqual([206, `bytes 0-999/${size}`])
    const rest = await get({ range: 'bytes=1000-', 'if-range': etag })
    expect([rest.status, rest.headers.get('content-length')]).toEqual([206, String(size! - 1_000)])
    expect(Buffer.concat([await bytesOf(first), await bytesOf(rest)]).equals(whole)).toBe(true)
    const other = await get({ range: 'bytes=1000-', 'if-range': '"of another file"' })
    expect([other.status, (await bytesOf(other)).equals(whole)]).toEqual([200, true])
    expect((await get({ 'if-none-match': etag })).status).toBe(304)
    expect((await get({ 'if-match': '"of another file"' })).status).toBe(412)
    const beyond = await get({ range: `bytes=${size}-` })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${size}`])

    // What nobody was given is not recorded; what follows it is.
    expect((await ask('DELETE', `${PATH}/${id}`)).status).toBe(204)
    await system.trail('backup.deleted', 2)
    const downloads = (await system.trail('backup.downloaded')).filter(({ target: of }) => of.id === id)
    expect(downloads.map(({ data }) => data.size).reverse()).toEqual([size, 1_000, size! - 1_000, size])
  },
  MINUTES,
)

test('one whose file is gone says so', async () => {
  const { id, name } = await make()
  await target.delete(name)
  for (const method of ['GET', 'HEAD']) expect((await ask(method, `${PATH}/${id}/content`)).status).toBe(410)
  expect((await ask('DELETE', `${PATH}/${id}`)).status).toBe(204)
})

test(
  'where the place for backups is away, that is told, with when to try again, and to nobody why',
  async () => {
    const { id } = await make()
    const [accessKey, secretKey, region, bucket] = ['access', 'secret-key', 'us-east-1', 'backups']
    const busy = '<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
    await using stub = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response(busy, { status: 503 }) })
    const endpoint = `http://127.0.0.1:${stub.port}`
    const away = lazily(() => openS3Store({ endpoint, accessKey, secretKey, region, bucket }))
    const { service } = await system.another({ backups: { ...place, target: away } })
    try {
      for (const [method, path] of [
        ['GET', `${id}/content`],
        ['HEAD', `${id}/content`],
        ['DELETE', id],
      ] as const) {
        const headers = { authorization: `Bearer ${manager!.token}` }
        const answer = await service.app.handle(new Request(`http://localhost${PATH}/${path}`, { method, headers }))
        expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
        expect(await answer.text()).not.toContain('SlowDown')
      }
    } finally {
      await service.stop()
    }
    expect((await ask('DELETE', `${PATH}/${id}`)).status).toBe(204)
  },
  MINUTES,
)

test('who may not manage the system gets nothing of backups', async () => {
  const nobody = await system.member('system.view')
  const id = crypto.randomUUID()
  for (const [method, path, body] of [
    ['POST', PATH, {}],
    ['GET', PATH],
    ['GET', `${PATH}/${id}`],
    ['GET', `${PATH}/${id}/content`],
    ['DELETE', `${PATH}/${id}`],
  ] as const) {
    expect((await ask(method, path, nobody, body)).status).toBe(403)
    expect((await ask(method, path, null, body)).status).toBe(401)
  }
  expect((await ask('POST', PATH, manager, { everything: true })).status).toBe(422)
})

test('where nothing says how backups are encrypted, none is made', async () => {
  const { status, body } = await system.call('POST', PATH, manager, {})
  expect(status).toBe(409)
  expect(body).toMatchObject({ code: 'backup.notConfigured' })
})

test(
  'one that fails says why, is audited, and leaves nothing',
  async () => {
    const away = await system.another({ backups: { ...place, communicationsUrl: 'postgres://nobody@127.0.0.1:1/x' } })
    await instance.service.stop()
    try {
      const answer = await away.service.app.handle(
        new Request(`http://localhost${PATH}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${manager!.token}`, 'content-type': 'application/json' },
          body: '{}',
        }),
      )
      const { id } = (await answer.json()) as Backup
      const failed = await ended(id)
      expect(failed.state).toBe('failed')
      expect(failed.error).not.toBe('')
      expect((await system.trail('backup.failed'))[0]!.target.id).toBe(id)
      expect((await target.list()).objects).toEqual([])
    } finally {
      await away.service.stop()
    }
  },
  MINUTES,
)

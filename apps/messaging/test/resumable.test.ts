import { describe, expect, test } from 'bun:test'
import { createHash, randomBytes } from 'node:crypto'
import type { Media, Upload } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'
import { arrived, base64, code, openBody, PART, TUS, tusClient, usage } from './tus.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const DAY_MS = 86_400_000

const pending = async (stack: Stack) => {
  const found: string[] = []
  for await (const { key } of stack.objects.listUploads()) found.push(key)
  return found
}

const getMedia = async (stack: Stack, path: string, member: Member) =>
  (await stack.json<Media>('GET', path.replace('/uploads/', '/media/'), member)).body

describe('a resumable upload', () => {
  test('arrives part by part, and becomes the file of the same id', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const content = randomBytes(300_000)
    const created = await tus.begin(content.length, { 'upload-metadata': `filename ${base64('a "file".bin')},x` })
    expect(created.status).toBe(201)
    const path = created.headers.get('location')!
    expect(path).toMatch(/^\/v1\/uploads\/[0-9a-f-]{36}$/)
    expect(created.headers.get('upload-offset')).toBe('0')
    for (const [at, end] of [
      [0, 100_000],
      [100_000, 100_001],
      [100_001, 300_000],
    ] as const) {
      expect(await tus.offset(path)).toBe(at)
      const response = await tus.part(path, at, content.subarray(at, end))
      expect([response.status, response.headers.get('upload-offset')]).toEqual([204, String(end)])
      expect(response.headers.get('tus-resumable')).toBe('1.0.0')
      expect(Date.parse(response.headers.get('upload-expires')!)).toBeGreaterThan(Date.now() + DAY_MS - 60_000)
    }
    const head = await tus.send('HEAD', path, TUS)
    expect(head.headers.get('cache-control')).toBe('no-store')
    expect(head.headers.get('upload-length')).toBe('300000')
    expect(head.headers.get('upload-metadata')).toBe(`filename ${base64('a "file".bin')},x`)
    expect(await head.text()).toBe('')
    const media = await getMedia(stack, path, ann)
    expect(media).toMatchObject({
      id: path.slice('/v1/uploads/'.length),
      ownerId: ann.userId,
      filename: 'a "file".bin',
      size: 300_000,
      sha256: sha256(content),
    })
    const bytes = await (await stack.request('GET', `/v1/media/${media.id}/content`, ann)).bytes()
    expect(sha256(bytes)).toBe(media.sha256)
    const event = await eventually(() => stack.audited.find((one) => one.action === 'media.uploaded'))
    expect(event).toMatchObject({ target: { id: media.id }, actor: { id: ann.userId } })
    expect(await pending(stack)).toEqual([])
    // A last part whose answer was lost may come again; nothing else may.
    expect((await tus.part(path, 300_000, new Uint8Array())).status).toBe(204)
    expect(await code(await tus.part(path, 0, content))).toBe('409 upload.wrongOffset')
    expect(await code(await tus.send('DELETE', path, TUS))).toBe('409 upload.finished')
  })

  test('may bring its first part along, be empty, or be whole at once', async () => {
    await using stack = await startMessaging()
    const tus = tusClient(stack, await stack.authority.member())
    const some = await tus.begin(10, { 'content-type': PART['content-type'] }, 'hello')
    expect([some.status, some.headers.get('upload-offset')]).toEqual([201, '5'])
    await tus.part(some.headers.get('location')!, 5, 'world')
    await tus.begin(0)
    await tus.begin(3, { 'content-type': PART['content-type'] }, 'all')
    const rows = await stack.sql`select size, content_type from media order by id`
    expect(rows.map((row) => [Number(row.size), row.content_type])).toEqual([
      [10, 'text/plain'],
      [0, 'text/plain'],
      [3, 'text/plain'],
    ])
  })

  test('of a client that leaves half-way keeps what has arrived', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const content = randomBytes(1_000_000)
    const path = await tus.begun(content.length)
    let at = 0
    for (const end of [200_000, 500_000, 500_001]) {
      const leave = new AbortController()
      const body = openBody()
      const headers = { ...PART, 'upload-offset': String(at) }
      const request = stack.request('PATCH', path, ann, { headers, body: body.readable, signal: leave.signal })
      await body.write(content.subarray(at, end))
      await arrived(stack, ann, path, end)
      leave.abort()
      expect(await code(await request)).toBe('400 media.incomplete')
      at = await tus.offset(path)
      expect(at).toBe(end)
    }
    await tus.part(path, at, content.subarray(at))
    expect((await getMedia(stack, path, ann)).sha256).toBe(sha256(content))
  })

  test('takes one part at a time; whoever asks where it stands to go on is who goes on, on another instance too', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const other = createMessagingService(stack.deps)
    for (const asking of [stack.service, other]) {
      const path = await tus.begun(10)
      const body = openBody()
      const first = tus.part(path, 0, body.readable)
      await body.write(Buffer.from('hello'))
      await arrived(stack, ann, path, 5)
      expect(await code(await tus.part(path, 5, 'world'))).toBe('423 upload.locked')
      const headers = { ...TUS, authorization: `Bearer ${ann.token}` }
      const head = await asking.app.handle(new Request(`http://localhost${path}`, { method: 'HEAD', headers }))
      expect(head.headers.get('upload-offset')).toBe('5')
      expect(await code(await first)).toBe('423 upload.locked')
      await body.end()
      expect((await tus.part(path, 5, 'world')).status).toBe(204)
    }
  })

  test('that is whole, but became no file for its process died, becomes one when its client asks', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const paths: string[] = []
    for (const moment of ['before it is completed', 'before it is recorded']) {
      const path = await tus.begun(5)
      const [row] = await stack.sql`select object_key, handle from media_uploads where id = ${path.slice(-36)}`
      const upload = stack.objects.openUpload({ key: row!.object_key, handle: row!.handle })
      await upload.append(Buffer.from('whole'), { at: 0 })
      if (moment === 'before it is recorded') await upload.complete()
      paths.push(path)
    }
    for (const path of paths) {
      expect(await tus.offset(path)).toBe(5)
      expect((await getMedia(stack, path, ann)).sha256).toBe(sha256(Buffer.from('whole')))
    }
    expect(await usage(stack, ann.userId)).toEqual([10, 2, 0])
  })

  test('that many ask for at the end becomes one file', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const path = await tus.begun(5)
    await Promise.all(Array.from({ length: 8 }, () => tus.part(path, 0, 'whole').then(code)))
    await Promise.all(Array.from({ length: 8 }, () => tus.offset(path)))
    expect(await stack.sql`select 1 from media`).toHaveLength(1)
    expect(await usage(stack, ann.userId)).toEqual([5, 1, 0])
  })

  test('is somebody’s own: for others, and with an API token that is not for files, there is none', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member({ owner: true })]
    const path = await tusClient(stack, ann).begun(5)
    const { token, tokenId } = stack.authority.apiToken(ann.userId, ['channel.view'])
    const reading = { ...ann, sessionId: tokenId, token }
    for (const [who, told] of [
      [bob, '404 upload.notFound'],
      [reading, '403 access.forbidden'],
    ] as const) {
      const tus = tusClient(stack, who)
      expect(await code(await tus.send('GET', path, TUS))).toBe(told)
      expect(await code(await tus.part(path, 0, 'whole'))).toBe(told)
      expect(await code(await tus.send('DELETE', path, TUS))).toBe(told)
    }
    expect(await code(await stack.request('GET', path, undefined))).toBe('401 access.unauthenticated')
    const filing = stack.authority.apiToken(ann.userId, ['media.attach'])
    expect(await tusClient(stack, { ...ann, token: filing.token }).offset(path)).toBe(0)
  })

  test('is cut off as soon as its uploader may upload no more; what has arrived stays until it expires', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const path = await tus.begun(1000)
    const body = openBody()
    const part = tus.part(path, 0, body.readable)
    await body.write(Buffer.from('hello'))
    await arrived(stack, ann, path, 5)
    await stack.authority.setGrant(ann.userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })
    expect(await code(await part)).toBe('403 access.forbidden')
    await body.end()
    expect(await pending(stack)).toHaveLength(1)
    await stack.authority.setGrant(ann.userId, { timedOutUntil: null })
    expect(await tus.offset(path)).toBe(5)
  })

  test('given up leaves nothing, also while a part arrives', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const path = await tus.begun(10)
    const body = openBody()
    const part = tus.part(path, 0, body.readable)
    await body.write(Buffer.from('hello'))
    await arrived(stack, ann, path, 5)
    expect((await tus.send('DELETE', path, TUS)).status).toBe(204)
    expect(await code(await part)).toBe('423 upload.locked')
    await body.end()
    expect(await tus.offset(path)).toBe(404)
    await eventually(async () => (await stack.files()).length === 0)
    expect(await usage(stack, ann.userId)).toEqual([0, 0, 0])
  })

  test('expires a day after its last part, and then leaves nothing', async () => {
    let now = Date.now()
    const clock = { now: () => new Date(now) }
    await using stack = await startMessaging({ clock })
    const ann = await stack.authority.member()
    // Lasts longer than an access token.
    const tus = tusClient(stack, { ...ann, ...stack.authority.apiToken(ann.userId, ['media.attach']) })
    const [old, renewed] = [await tus.begun(10), await tus.begun(10)]
    for (const path of [old, renewed]) await tus.part(path, 0, 'hello')
    now += DAY_MS / 2
    await tus.part(renewed, 5, 'wor')
    now += DAY_MS / 2 + 1000
    const again = createMessagingService(stack.deps)
    await again.start()
    await eventually(async () => (await pending(stack)).length === 1)
    expect(await stack.sql`select id from media_uploads`).toEqual([
      expect.objectContaining({ id: renewed.slice(-36) }),
    ] as never)
    expect(await usage(stack, ann.userId)).toEqual([0, 0, 10])
    await again.stop()
  })

  test('goes with its account', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    await tus.part(await tus.begun(10), 0, 'hello')
    await tus.begin(4, { 'content-type': PART['content-type'] }, 'done')
    await stack.port.userDeleted({ userId: ann.userId, messages: 'keep' })
    await eventually(async () => (await stack.files()).length === 0)
    expect(await usage(stack, ann.userId)).toEqual([0, 0, 0])
    expect(await code(await tus.begin(5))).toBe('401 access.unauthenticated')
    expect(await pending(stack)).toEqual([])
  })

  test('that begins while its account goes leaves nothing', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const waits = () =>
      eventually(
        async () =>
          (
            await stack.deps.db.execute(`select from pg_locks where not granted and mode = 'RowExclusiveLock'
              and database = (select oid from pg_database where datname = current_database())`)
          ).length > 0,
      )
    const [beginning, leaving] = await stack.sql.begin(async (sql) => {
      await sql`lock table media_uploads in exclusive mode`
      const beginning = tusClient(stack, ann).begin(5)
      await waits()
      const leaving = stack.port.userDeleted({ userId: ann.userId, messages: 'keep' })
      await eventually(async () => (await stack.deps.db.execute(`select from deleted_authors`)).length > 0)
      // As a whole: the transaction would wait for both of them.
      return [() => beginning, () => leaving]
    })
    await leaving!()
    expect(await code((await beginning!()) as Response)).toBe('401 access.unauthenticated')
    expect(await stack.sql`select id from media_uploads`).toEqual([] as never)
  })
})

describe('what is said of a resumable upload', () => {
  test('OPTIONS tells anybody what can be done here', async () => {
    await using stack = await startMessaging()
    const { headers, status } = await stack.request('OPTIONS', '/v1/uploads', undefined)
    expect(status).toBe(204)
    expect(Object.fromEntries(headers)).toMatchObject({
      'tus-resumable': '1.0.0',
      'tus-version': '1.0.0',
      'tus-extension': 'creation,creation-with-upload,expiration,termination,checksum',
      'tus-max-size': String(stack.authority.snapshot.server.limits.maxFileBytes),
      'tus-checksum-algorithm': 'sha256,sha1',
    })
  })

  test('what is missing or wrong is refused, and leaves nothing', async () => {
    await using stack = await startMessaging()
    stack.authority.snapshot.server.limits.maxFileBytes = 1000
    await stack.authority.changed()
    const tus = tusClient(stack, await stack.authority.member())
    const old = await tus.send('POST', '/v1/uploads', { 'tus-resumable': '0.2.2', 'upload-length': '5' })
    expect([old.headers.get('tus-version'), old.headers.get('tus-resumable')]).toEqual(['1.0.0', '1.0.0'])
    expect(await code(old)).toBe('412 upload.wrongVersion')
    for (const length of ['-1', '1.5', 'x', '99999999999999999999', '']) {
      const answer = await tus.send('POST', '/v1/uploads', { ...TUS, 'upload-length': length })
      expect([length, await code(answer)]).toEqual([length, '400 upload.lengthMissing'])
    }
    expect(await code(await tus.send('POST', '/v1/uploads', { ...TUS, 'upload-defer-length': '1' }))).toStartWith('400')
    expect(await code(await tus.begin(1001))).toBe('413 media.tooLarge')
    expect(await code(await tus.begin(5, {}, 'hello'))).toBe('415 request.wrongContentType')
    for (const metadata of ['filename !', 'a eA==,a eQ==', 'a b c', `a ${'x'.repeat(5000)}`, ',']) {
      expect(await code(await tus.begin(5, { 'upload-metadata': metadata }))).toBe('400 upload.badMetadata')
    }
    expect(await stack.files()).toEqual([])
    const path = await tus.begun(5)
    expect(await code(await tus.send('PATCH', path, { ...PART, 'tus-resumable': '2' }))).toBe('412 upload.wrongVersion')
    expect(await code(await tus.send('PATCH', path, TUS, 'x'))).toBe('415 request.wrongContentType')
    expect(await code(await tus.send('PATCH', path, PART, 'x'))).toBe('400 upload.offsetMissing')
    expect(await code(await tus.part(path, 1, 'x'))).toBe('409 upload.wrongOffset')
    expect(await code(await tus.part(path, 0, 'too long', { 'content-length': '8' }))).toBe('413 media.tooLarge')
    expect(await tus.offset(path)).toBe(0)
    expect(await code(await tus.send('DELETE', path, {}))).toBe('412 upload.wrongVersion')
    expect(await code(await tus.part('/v1/uploads/nonsense', 0, 'x'))).toBe('422 request.invalid')
  })

  test('a part that belongs elsewhere is told so, also where it would be too long there', async () => {
    await using stack = await startMessaging()
    const tus = tusClient(stack, await stack.authority.member())
    const path = await tus.begun(5)
    expect(await code(await tus.part(path, 3, '12345', { 'content-length': '5' }))).toBe('409 upload.wrongOffset')
    expect(await code(await tus.part(path, 0, '123456', { 'content-length': '6' }))).toBe('413 media.tooLarge')
    expect(await tus.offset(path)).toBe(0)
  })

  test('a part that is longer than the upload, without saying so, is refused', async () => {
    await using stack = await startMessaging()
    const tus = tusClient(stack, await stack.authority.member())
    const path = await tus.begun(5)
    expect(await code(await tus.part(path, 0, new Blob(['too long']).stream()))).toBe('413 media.tooLarge')
    expect(await stack.sql`select 1 from media`).toHaveLength(0)
  })

  test('a part with a checksum counts only when it is whole', async () => {
    await using stack = await startMessaging()
    const tus = tusClient(stack, await stack.authority.member())
    const path = await tus.begun(10)
    const sum = (algorithm: string, text: string) => ({
      'upload-checksum': `${algorithm} ${createHash(algorithm).update(text).digest('base64')}`,
    })
    expect(await code(await tus.part(path, 0, 'hellO', sum('sha256', 'hello')))).toBe('460 upload.checksumMismatch')
    expect(await tus.offset(path)).toBe(0)
    for (const bad of ['md5 eA==', 'sha256', 'sha256 !', 'sha256 eA== x']) {
      expect(await code(await tus.part(path, 0, 'hello', { 'upload-checksum': bad }))).toBe('400 upload.badChecksum')
    }
    expect((await tus.part(path, 0, 'hello', sum('sha256', 'hello'))).status).toBe(204)
    expect((await tus.part(path, 5, 'world', sum('sha1', 'world'))).status).toBe(204)
  })

  test('somebody has at most a hundred unfinished ones', async () => {
    await using stack = await startMessaging()
    const tus = tusClient(stack, await stack.authority.member())
    const answers = await Promise.all(Array.from({ length: 110 }, () => tus.begin(5).then(code)))
    expect(answers.filter((one) => one === '409 upload.tooMany')).toHaveLength(10)
    expect(await pending(stack)).toHaveLength(100)
  })
})

describe('a quota', () => {
  test('is kept exactly, however many upload at once, one way or the other', async () => {
    const quotas = { person: 1000, server: 2500 }
    await using stack = await startMessaging({ quotas })
    const people = [await stack.authority.member(), await stack.authority.member(), await stack.authority.member()]
    const outcomes = await Promise.all(
      people.flatMap((person) =>
        Array.from({ length: 12 }, async (_, index) => {
          if (index % 2 === 0) return code(await tusClient(stack, person).begin(100))
          return stack.upload(person, new Uint8Array(100)).then(({ status, body }) => `${status} ${body.code}`)
        }),
      ),
    )
    expect(outcomes.filter((one) => one.startsWith('201'))).toHaveLength(25)
    expect(outcomes.filter((one) => one === '409 media.quotaExceeded')).toHaveLength(11)
    const [all] = await stack.sql`select bytes + reserved as total from media_usage where holder = 'server'`
    expect(Number(all!.total)).toBe(2500)
    for (const { userId } of people) {
      const [bytes, , reserved] = (await usage(stack, userId))!
      expect(bytes! + reserved!).toBeLessThanOrEqual(1000)
    }
  })

  test('tells what is left, and is given back by what goes', async () => {
    await using stack = await startMessaging({ quotas: { person: 1000, server: undefined } })
    const ann = await stack.authority.member()
    const tus = tusClient(stack, ann)
    const kept = await stack.upload(ann, new Uint8Array(600))
    const path = await tus.begun(300)
    const refused = await stack.upload(ann, new Uint8Array(101))
    expect([refused.body.code, refused.body.detail]).toEqual([
      'media.quotaExceeded',
      '100 bytes are left of the 1000 that you may store.',
    ])
    expect(await code(await tus.begin(101))).toBe('409 media.quotaExceeded')
    expect((await stack.upload(ann, new Uint8Array(100))).status).toBe(201)
    await tus.send('DELETE', path, TUS)
    await stack.json('DELETE', `/v1/media/${kept.body.id}`, ann)
    expect(await usage(stack, ann.userId)).toEqual([100, 1, 0])
    expect((await stack.upload(ann, new Uint8Array(900))).status).toBe(201)
    // Of unknown length: cut off where there is no more room.
    expect((await stack.upload(ann, new Blob(['x']).stream())).body.code).toBe('media.quotaExceeded')
    // What was deleted goes a moment later.
    await eventually(async () => (await stack.files()).length === 2)
  })

  test('counts what others have uploaded for the server, and nothing for nobody', async () => {
    await using stack = await startMessaging({ quotas: { person: undefined, server: 1000 } })
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    await stack.upload(ann, new Uint8Array(900))
    const refused = await stack.upload(bob, new Uint8Array(101))
    expect(refused.body.detail).toBe('100 bytes are left of the 1000 that this server may store.')
    expect((await stack.upload(bob, '')).status).toBe(201)
  })
})

test('what tells of an upload is the same for every tus client', async () => {
  await using stack = await startMessaging()
  const ann = await stack.authority.member()
  const path = await tusClient(stack, ann).begun(10, 'a/../b\u202e.txt')
  const { body, headers } = await stack.json<Upload>('GET', path, ann)
  expect(body).toEqual({
    id: path.slice(-36),
    filename: 'b.txt',
    size: 10,
    offset: 0,
    expiresAt: expect.any(String),
  })
  expect(headers.get('upload-length')).toBe('10')
})

import { describe, expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'
import { eventually, objectStorage } from '@conntext/testing'
import { Client } from 'minio'
import {
  ObjectNotFound,
  ObjectStoreFull,
  ObjectStoreRefused,
  ObjectStoreUnavailable,
  openS3Store,
  type S3Options,
} from '../src/index.ts'
import { streamOf } from '../src/testing/bodies.ts'
import { objectStoreContract, type StoreUnderTest } from '../src/testing/contract.ts'
import { proxyTo } from './support/proxy.ts'

const MIB = 2 ** 20
const server = await objectStorage()

const newPlace = (change: Partial<S3Options> = {}): S3Options => ({
  ...server!,
  bucket: `t-${crypto.randomUUID()}`,
  ...change,
})

async function makeStore(): Promise<StoreUnderTest> {
  const place = newPlace()
  return {
    store: await openS3Store(place),
    reopen: () => openS3Store(place),
    countTemporary: async () => (await unfinished(place.bucket)).length,
    // The server keeps it in memory, and is thrown away.
    [Symbol.asyncDispose]: async () => {},
  }
}

const { hostname, port } = new URL(server?.endpoint ?? 'http://localhost')
const admin = new Client({ endPoint: hostname, port: Number(port), useSSL: false, ...server })

/** What `put`s have left in a bucket: multipart uploads other than those that were begun to arrive in parts. */
async function unfinished(bucket: string): Promise<string[]> {
  const { uploads } = await admin.listIncompleteUploadsQuery(bucket, '', '', '', '')
  const { objects } = await admin.listObjectsV2Query(bucket, '+upload/', '', '', 1000, '')
  const begun = objects.map((object) => String('name' in object ? object.name : ''))
  return uploads.map(({ uploadId }) => uploadId).filter((id) => !begun.some((name) => name.endsWith(`/${id}`)))
}

const failureOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error('it succeeded'),
    (error: unknown) => error as Error,
  )

const support = (name: string) => fileURLToPath(new URL(`support/${name}`, import.meta.url))

describe.skipIf(!server)('with an S3 server,', () => {
  objectStoreContract('a bucket', makeStore)

  describe('a bucket', () => {
    test('is made, by whoever comes first, and found', async () => {
      const place = newPlace()
      await Promise.all([1, 2, 3].map(() => openS3Store(place)))
      expect(await admin.bucketExists(place.bucket)).toBe(true)
      await (await openS3Store(place)).put('kept', new Uint8Array(1))
      expect((await (await openS3Store(place)).list()).objects).toHaveLength(1)
    })

    test('that is gone again fails the check', async () => {
      const place = newPlace()
      const store = await openS3Store(place)
      await store.check()
      await admin.removeBucket(place.bucket)
      expect(await failureOf(store.check())).toBeInstanceOf(ObjectStoreUnavailable)
      expect(await failureOf(store.put('a', new Uint8Array(1)))).toBeInstanceOf(ObjectStoreUnavailable)
      expect(await failureOf(store.list())).toBeInstanceOf(ObjectStoreUnavailable)
    })

    test('lists more objects than fit on a page', async () => {
      const store = await openS3Store(newPlace())
      const keys = Array.from({ length: 1010 }, (_, i) => `k/${String(i).padStart(5, '0')}`)
      for (let i = 0; i < keys.length; i += 50) {
        await Promise.all(keys.slice(i, i + 50).map((key) => store.put(key, new Uint8Array(1))))
      }
      const first = await store.list()
      const second = await store.list({ cursor: first.cursor! })
      expect([...first.objects, ...second.objects].map(({ key }) => key)).toEqual(keys)
      expect([first.objects.length, second.cursor]).toEqual([1000, undefined])
    })

    test('hides what is kept beside the objects, and sweeps probes that were left', async () => {
      const place = newPlace()
      const store = await openS3Store(place)
      await admin.putObject(place.bucket, '+check/left', 'x')
      await store.beginUpload('u/1')
      await store.put('a', new Uint8Array(1))
      expect((await store.list()).objects.map(({ key }) => key)).toEqual(['a'])
      expect(await store.sweepTemporary(600_000)).toBe(0)
      expect(await store.sweepTemporary(-1000)).toBe(1)
      expect(await failureOf(admin.statObject(place.bucket, '+check/left'))).toMatchObject({ code: 'NotFound' })
    })

    test('keeps what this process is storing, however long nothing arrives', async () => {
      const store = await openS3Store(newPlace())
      const gate = Promise.withResolvers<void>()
      let pieces = 0
      const slow = new ReadableStream<Uint8Array>({
        async pull(controller) {
          pieces += 1
          if (pieces === 20) await gate.promise
          if (pieces === 21) controller.close()
          else controller.enqueue(new Uint8Array(MIB))
        },
      })
      const put = store.put('slow', slow)
      await eventually(() => pieces === 20)
      expect(await store.sweepTemporary(-1000)).toBe(0)
      gate.resolve()
      expect((await put).size).toBe(20 * MIB)
    })

    test('gives nothing to whoever has no credentials', async () => {
      const place = newPlace()
      await (await openS3Store(place)).put('secret', new Uint8Array(1))
      expect((await fetch(`${place.endpoint}/${place.bucket}/secret`)).status).toBe(403)
    })
  })

  describe('credentials', () => {
    test.each(['secretKey', 'accessKey'] as const)('with a wrong %s are refused, and not told', async (name) => {
      const place = newPlace({ [name]: `wrong-${crypto.randomUUID()}` })
      const failure = await failureOf(openS3Store(place))
      expect(failure).toBeInstanceOf(ObjectStoreRefused)
      expect(failure).toMatchObject({ reason: 'credentials' })
      const told = Bun.inspect(failure)
      for (const secret of [place.secretKey, place.accessKey]) expect(told).not.toContain(secret)
    })

    test('an impossible bucket name is refused', async () => {
      const failure = await failureOf(openS3Store(newPlace({ bucket: 'Not_A_Bucket' })))
      expect(failure).toBeInstanceOf(ObjectStoreUnavailable)
    })
  })

  describe('a server that goes away', () => {
    test('fails what is under way and what comes, and leaves nothing once it is back and swept', async () => {
      await using proxy = await proxyTo(server!.endpoint)
      const place = newPlace({ endpoint: proxy.endpoint })
      const store = await openS3Store(place)
      await store.put('old', streamOf(10 * MIB))
      const { body } = await store.get('old')
      const reader = body.getReader()
      await reader.read()
      let pulled = 0
      let cancelled = false
      const source = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            pulled += 1
            if (pulled <= 32) return controller.enqueue(new Uint8Array(MIB))
            // A part is on its way, and nothing follows: only that the part fails can end this.
            proxy.set('cut')
          },
          cancel() {
            cancelled = true
          },
        },
        { highWaterMark: 0 },
      )
      expect(await failureOf(store.put('old', source))).toBeInstanceOf(ObjectStoreUnavailable)
      expect(cancelled).toBe(true)
      const reading = (async () => {
        while (!(await reader.read()).done);
      })()
      expect(await failureOf(reading)).toBeInstanceOf(ObjectStoreUnavailable)
      const calls: (() => Promise<unknown>)[] = [
        () => store.put('a', new Uint8Array(1)),
        () => store.get('old'),
        () => store.head('old'),
        () => store.delete('old'),
        () => store.list(),
        () => store.check(),
        () => store.beginUpload('u'),
        () => store.sweepTemporary(0),
        () => openS3Store(place),
      ]
      for (const call of calls) expect(await failureOf(call())).toBeInstanceOf(ObjectStoreUnavailable)
      proxy.set('open')
      expect((await store.head('old')).size).toBe(10 * MIB)
      await store.sweepTemporary(-1000)
      expect(await unfinished(place.bucket)).toEqual([])
      await store.check()
    })

    test('without a word is given up after the time set', async () => {
      await using proxy = await proxyTo(server!.endpoint)
      const place = newPlace({ endpoint: proxy.endpoint })
      const patient = await openS3Store(place)
      await patient.put('old', streamOf(30 * MIB))
      const store = await openS3Store({ ...place, timeoutMs: 1_000 })
      const { body } = await store.get('old')
      proxy.set('silent')
      const started = performance.now()
      for (const call of [() => store.head('old'), () => store.put('a', streamOf(20 * MIB)), () => store.check()]) {
        expect(await failureOf(call())).toBeInstanceOf(ObjectStoreUnavailable)
      }
      expect(await failureOf(new Response(body).bytes())).toBeInstanceOf(Error)
      expect(performance.now() - started).toBeLessThan(20_000)
      proxy.set('open')
      expect((await patient.head('old')).size).toBe(30 * MIB)
    })

    test('at the start is said so', async () => {
      const failure = await failureOf(openS3Store(newPlace({ endpoint: 'http://127.0.0.1:1' })))
      expect(failure).toBeInstanceOf(ObjectStoreUnavailable)
    })
  })

  describe('connections', () => {
    test('end with a body that is cancelled, and with one that somebody dropped', async () => {
      await using proxy = await proxyTo(server!.endpoint)
      const store = await openS3Store(newPlace({ endpoint: proxy.endpoint }))
      await store.put('a', streamOf(30 * MIB))
      const idle = proxy.connections()
      for (let i = 0; i < 5; i++) await (await store.get('a')).body.cancel()
      await eventually(() => proxy.connections() <= idle)
      const drop = async () => {
        const held = await Promise.all(Array.from({ length: 10 }, () => store.get('a')))
        expect(proxy.connections()).toBeGreaterThanOrEqual(held.length)
      }
      await drop()
      await eventually(() => {
        Bun.gc(true)
        return proxy.connections() <= idle + 2
      })
    })

    test('carry no more than the range that was asked for', async () => {
      await using proxy = await proxyTo(server!.endpoint)
      const store = await openS3Store(newPlace({ endpoint: proxy.endpoint }))
      await store.put('a', streamOf(20 * MIB))
      const before = proxy.bytes()
      const { body, size } = await store.get('a', { range: { start: 19 * MIB, end: 19 * MIB + 999 } })
      expect([size, (await new Response(body).bytes()).length]).toEqual([20 * MIB, 1000])
      expect(proxy.bytes() - before).toBeLessThan(10_000)
    })
  })

  test('what a process that was killed has left is swept, when it is old enough', async () => {
    const place = newPlace()
    const store = await openS3Store(place)
    const command = [process.execPath, '--no-install', support('put-for-ever.ts'), JSON.stringify(place)]
    const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const _ of child.stdout) break
    await eventually(async () => (await unfinished(place.bucket)).length === 1)
    child.kill('SIGKILL')
    await child.exited
    await expect(store.head('never')).rejects.toThrow(ObjectNotFound)
    expect(await store.sweepTemporary(600_000)).toBe(0)
    expect(await store.sweepTemporary(-1000)).toBe(1)
    expect(await unfinished(place.bucket)).toEqual([])
  })

  test('an upload whose process was killed between a part and its record stands where it does', async () => {
    const place = newPlace()
    const store = await openS3Store(place)
    const handle = await store.beginUpload('u')
    const upload = store.openUpload({ key: 'u', handle })
    const start = await new Response(streamOf(6 * MIB)).bytes()
    await upload.append(start, { at: 0 })
    // The part holds the rest that is still recorded beside it.
    const part = Buffer.concat([start, Buffer.alloc(2 * MIB, 7)])
    const config = { bucketName: place.bucket, objectName: 'u', uploadID: handle, partNumber: 1, headers: {} }
    await admin.uploadPart(config, part)
    expect(await upload.offset()).toBe(8 * MIB)
    await upload.append(Buffer.from('end'), { at: 8 * MIB })
    expect((await upload.complete()).size).toBe(8 * MIB + 3)
    const back = await new Response((await store.get('u')).body).bytes()
    expect(Buffer.compare(back, Buffer.concat([part, Buffer.from('end')]))).toBe(0)
  })

  test('put and get hold a bounded part of a large object', async () => {
    const place = newPlace()
    const grown: number[] = []
    for (const direction of ['put', 'get']) {
      const script = [support('measure-memory.ts'), JSON.stringify(place), direction, '200']
      const { stdout } = Bun.spawnSync([process.execPath, '--no-install', ...script])
      grown.push(Number.parseInt(stdout.toString(), 10))
    }
    for (const mebibytes of grown) expect(mebibytes).toBeLessThan(150)
    expect((await (await openS3Store(place)).head('big')).size).toBe(200 * MIB)
  })
})

describe('a server that answers', () => {
  const listing = '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
  const problem = (code: string) =>
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>the-secret</Message></Error>`
  /** Lists nothing, and answers everything else with `status` and `body`. */
  const serve = (status: number, body: string, first = listing) => {
    const stub = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ method }) => (method === 'GET' ? new Response(first) : new Response(body, { status })),
    })
    const endpoint = `http://127.0.0.1:${stub.port}`
    const open = () => openS3Store({ endpoint, bucket: 'bucket', accessKey: 'access', secretKey: 'the-secret' })
    return { open, [Symbol.dispose]: () => void stub.stop(true) }
  }

  test.each([
    [507, 'XMinioStorageFull'],
    [403, 'QuotaExceeded'],
  ])('%p %s has no space left', async (status, code) => {
    using stub = serve(status, problem(code))
    const store = await stub.open()
    expect(await failureOf(store.put('a', new Uint8Array(1)))).toBeInstanceOf(ObjectStoreFull)
  })

  test.each([
    [503, 'SlowDown'],
    [500, 'InternalError'],
    [403, 'AccessDenied'],
    [418, 'Whatever'],
  ])('%p %s is away, and its words are not repeated', async (status, code) => {
    using stub = serve(status, problem(code))
    const store = await stub.open()
    const failure = await failureOf(store.put('a', new Uint8Array(1)))
    expect(failure).toBeInstanceOf(ObjectStoreUnavailable)
    expect(Bun.inspect(failure)).not.toContain('the-secret')
  })

  test('with less than it said fails the reader', async () => {
    const headers = { 'content-range': 'bytes 0-9/10' }
    const stub = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url }) =>
        url.includes('list-type') ? new Response(listing) : new Response('short', { status: 206, headers }),
    })
    const endpoint = `http://127.0.0.1:${stub.port}`
    const store = await openS3Store({ endpoint, bucket: 'bucket', accessKey: 'access', secretKey: 'the-secret' })
    const { body } = await store.get('a', { range: { start: 0, end: 9 } })
    expect(await failureOf(new Response(body).bytes())).toBeInstanceOf(ObjectStoreUnavailable)
    await stub.stop(true)
  })

  test('but speaks no S3 is told at the start', async () => {
    using stub = serve(200, '', '<html><body>Welcome</body></html>')
    expect(await failureOf(stub.open())).toBeInstanceOf(ObjectStoreUnavailable)
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Media, Problem } from '@conntext/contracts'
import { openS3Store } from '@conntext/object-store'
import { eventually, objectStorage } from '@conntext/testing'
import { type Member, type Stack, startMessaging } from './stack.ts'

// The routes over a store that is no directory of this machine: what they have to do with it, once each.
const server = await objectStorage()
const MIB = 2 ** 20

describe.skipIf(!server)('media in a bucket', () => {
  const bucket = `t-${crypto.randomUUID()}`
  let stack: Stack
  let owner: Member

  beforeAll(async () => {
    stack = await startMessaging({ objects: await openS3Store({ ...server!, bucket }) })
    owner = await stack.authority.member({ owner: true })
  })
  afterAll(() => stack[Symbol.asyncDispose]())

  const content = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251)
  const download = (media: Media, headers: Record<string, string> = {}) =>
    stack.request('GET', `/v1/media/${media.id}/content`, owner, { headers })

  test.each([0, 100_000, 20 * MIB])('a file of %p bytes goes up and comes down, whole and in part', async (size) => {
    const bytes = content(size)
    const { status, body: media } = await stack.upload(owner, bytes, '?filename=a.bin')
    expect([status, media.size]).toEqual([201, size])
    const whole = await download(media)
    expect(whole.status).toBe(200)
    expect(whole.headers.get('content-length')).toBe(String(size))
    expect(Buffer.compare(await whole.bytes(), bytes)).toBe(0)
    if (size === 0) return
    const part = await download(media, { range: 'bytes=99990-99999' })
    expect([part.status, Buffer.compare(await part.bytes(), bytes.subarray(99_990, 100_000))]).toEqual([206, 0])
    expect((await download(media, { 'if-none-match': whole.headers.get('etag')! })).status).toBe(304)
  })

  test('a file that is deleted leaves the bucket', async () => {
    const { body: media } = await stack.upload(owner, content(1000))
    const before = (await stack.objects.list()).objects.length
    expect((await stack.request('DELETE', `/v1/media/${media.id}`, owner)).status).toBe(204)
    await eventually(async () => (await stack.objects.list()).objects.length < before)
    expect((await download(media)).status).toBe(404)
  })

  test('a client that leaves midway leaves nothing', async () => {
    const before = (await stack.objects.list()).objects.length
    const abort = new AbortController()
    let pieces = 0
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        pieces += 1
        if (pieces > 20) abort.abort()
        controller.enqueue(content(MIB))
      },
    })
    const answer = await stack.request('POST', '/v1/uploads', owner, { body, signal: abort.signal })
    expect(answer.status).toBe(400)
    expect((await stack.objects.list()).objects).toHaveLength(before)
    expect(await stack.objects.sweepTemporary(-1000)).toBe(0)
  })

  test('a store that is away is told as such, and to nobody why', async () => {
    const stub = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('<ListBucketResult/>') })
    const endpoint = `http://127.0.0.1:${stub.port}`
    const away = await openS3Store({ ...server!, endpoint, bucket })
    await stub.stop(true)
    await using other = await startMessaging({ objects: away })
    const member = await other.authority.member({ owner: true })
    const { status, headers, body } = await other.upload(member, content(10))
    expect([status, (body as Partial<Problem>).code]).toEqual([503, 'dependency.away'])
    expect(headers.get('retry-after')).toBe('1')
    expect(JSON.stringify(body)).not.toContain(endpoint)
  })
})

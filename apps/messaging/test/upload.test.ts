import { describe, expect, test } from 'bun:test'
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Media } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { type Member, type Stack, startMessaging } from './stack.ts'

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

const mediaRows = (stack: Stack) => stack.sql`select * from media`

/** A body of this many bytes: the same block over and over, so that it takes no memory itself. */
function streamed(bytes: number): ReadableStream<Uint8Array> {
  const block = randomBytes(1 << 16)
  let left = bytes
  return new ReadableStream(
    {
      pull(controller) {
        const part = block.subarray(0, Math.min(left, block.length))
        left -= part.length
        if (part.length > 0) controller.enqueue(part)
        if (left === 0) controller.close()
      },
    },
    { highWaterMark: 0 },
  )
}

/** Runs the service behind a real HTTP server, and sends it these bytes over a bare connection. */
async function rawUpload(stack: Stack, member: Member, headers: string[], bytes: Uint8Array, then: 'reset' | 'answer') {
  using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: stack.service.app.handle })
  const socket = connect(server.port!, '127.0.0.1')
  const lines = ['POST /v1/uploads HTTP/1.1', 'Host: localhost', `Authorization: Bearer ${member.token}`, ...headers]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  socket.write(bytes)
  let received = ''
  socket.on('data', (data) => {
    received += data
  })
  socket.on('error', () => {})
  if (then === 'answer') await eventually(() => received.includes('\r\n\r\n'))
  // The upload is under way when its temporary file has what was sent.
  else await eventually(async () => (await stack.files()).length > 0)
  socket.resetAndDestroy()
  await eventually(() => socket.destroyed)
  return received
}

describe('uploading a file', () => {
  test('stores its bytes, tells what they are, and is audited', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    const { status, headers, body } = await stack.upload(alice, PNG, '?filename=a%20picture.png')
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.any(String),
      ownerId: alice.userId,
      filename: 'a picture.png',
      contentType: 'image/png',
      size: PNG.length,
      sha256: createHash('sha256').update(PNG).digest('hex'),
      state: 'processing',
      width: null,
      height: null,
      thumbnail: false,
      createdAt: expect.any(String),
    })
    expect(headers.get('location')).toBe(`/v1/media/${body.id}`)
    const ready = await eventually(async () => {
      const { body: media } = await stack.json<Media>('GET', headers.get('location')!, alice)
      return media.state === 'ready' && media
    })
    expect(ready).toEqual({ ...body, state: 'ready', width: 1, height: 1, thumbnail: true })
    const event = await eventually(() => stack.audited.find((one) => one.action === 'media.uploaded'))
    expect(event).toMatchObject({
      target: { kind: 'media', id: body.id },
      actor: { id: alice.userId },
      data: { size: body.size, contentType: body.contentType, sha256: body.sha256 },
    })
  })

  const types: [string, Uint8Array | string, string][] = [
    ['text', 'plain words, ümläuts and 😀\r\n\tin lines', 'text/plain'],
    ['HTML', '<!doctype html><script>alert(1)</script>', 'text/plain'],
    ['SVG', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', 'application/xml'],
    ['text that a character runs through', `${'x'.repeat(4099)}é and more`, 'text/plain'],
    ['control bytes', 'abc\x00def', 'application/octet-stream'],
    ['invalid UTF-8', new Uint8Array([0x61, 0xff, 0xfe, 0x62, 0x80]), 'application/octet-stream'],
    ['PNG', PNG, 'image/png'],
    ['PDF', '%PDF-1.7\n%âãÏÓ\n1 0 obj', 'application/pdf'],
    ['nothing', '', 'text/plain'],
  ]
  test('goes by its bytes, whatever its name and the header say', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    for (const [what, bytes, contentType] of types) {
      const size = Buffer.byteLength(bytes)
      const headers = { 'content-type': 'application/json', 'content-length': String(size) }
      const response = await stack.request('POST', '/v1/uploads?filename=x.jpg', alice, { body: bytes, headers })
      const { contentType: found, size: stored } = (await response.json()) as Media
      expect([what, response.status, found, stored]).toEqual([what, 201, contentType, size])
    }
  })

  const names: [string, string][] = [
    ['', 'file'],
    ['?filename=', 'file'],
    ['?filename=..', 'file'],
    ['?filename=..%2F..%2Fetc%2Fpasswd', 'passwd'],
    ['?filename=C%3A%5CUsers%5Cme%5Cpicture.png', 'picture.png'],
    ['?filename=dir%2F', 'file'],
    ['?filename=a%0D%0ASet-Cookie%3A%20x%00%1b%7F.txt', 'aSet-Cookie: x.txt'],
    ['?filename=%20%20padded.txt%20', 'padded.txt'],
    ['?filename=evil%E2%80%AEgpj.exe', 'evilgpj.exe'],
    [`?filename=${encodeURIComponent('日本語 "quoted".txt')}`, '日本語 "quoted".txt'],
    [`?filename=${encodeURIComponent('é'.repeat(300))}.tar.gz`, `${'é'.repeat(126)}.gz`],
    [`?filename=${encodeURIComponent('😀'.repeat(100))}`, '😀'.repeat(63)],
  ]
  test('keeps the harmless part of a name, at most 255 bytes of it', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    for (const [query, filename] of names) {
      const { status, body } = await stack.upload(alice, 'x', query)
      expect([status, body.filename]).toEqual([201, filename])
    }
  })

  test('needs media.attach, and a session', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    expect((await stack.request('POST', '/v1/uploads', undefined, { body: 'x' })).status).toBe(401)
    expect((await stack.upload(alice, 'x', '?unknown=1')).status).toBe(422)
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = everyone.permissions.filter((name) => name !== 'media.attach')
    await stack.authority.changed()
    const refused = await stack.upload(alice, 'x')
    expect([refused.status, refused.body.code]).toEqual([403, 'access.forbidden'])
    expect(await stack.files()).toEqual([])
  })

  test('over the limit is refused before it is read where its length is declared', async () => {
    await using stack = await startMessaging()
    stack.authority.snapshot.server.limits.maxFileBytes = 1000
    await stack.authority.changed()
    const alice = await stack.authority.member()
    // Only ten bytes are ever sent: the answer doesn't wait for the rest.
    const answer = await rawUpload(stack, alice, ['Content-Length: 1001'], new Uint8Array(10), 'answer')
    expect(answer).toStartWith('HTTP/1.1 413 ')
    expect((await stack.upload(alice, new Uint8Array(1000))).status).toBe(201)
    expect(await mediaRows(stack)).toHaveLength(1)
  })

  test('over the limit without a declared length is refused while it is read, and leaves nothing', async () => {
    await using stack = await startMessaging()
    stack.authority.snapshot.server.limits.maxFileBytes = 3_000_000
    await stack.authority.changed()
    const alice = await stack.authority.member()
    const { status, body } = await stack.upload(alice, streamed(50_000_000))
    expect([status, body.code]).toEqual([413, 'media.tooLarge'])
    expect(await stack.files()).toEqual([])
    expect(await mediaRows(stack)).toHaveLength(0)
    await stack.service.stop()
    expect(stack.audited).toEqual([])
  })

  test.each([
    ['with a declared length', ['Content-Length: 1000000'], 'x'.repeat(300_000)],
    ['chunked', ['Transfer-Encoding: chunked'], `40000\r\n${'x'.repeat(0x40000)}\r\n40000\r\nabc`],
  ])('that the client breaks off, %s, leaves neither row nor object', async (_, headers, bytes) => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    await rawUpload(stack, alice, headers, Buffer.from(bytes), 'reset')
    await eventually(async () => (await stack.files()).length === 0)
    expect(await mediaRows(stack)).toHaveLength(0)
  })

  test('that arrives shorter than declared is refused, and leaves nothing', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    const response = await stack.request('POST', '/v1/uploads', alice, {
      body: streamed(1000),
      headers: { 'content-length': '2000' },
    })
    expect(response.status).toBe(400)
    expect(await stack.files()).toEqual([])
    expect(await mediaRows(stack)).toHaveLength(0)
  })

  test('whose row can not be written leaves no object', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    await stack.sql`alter table messaging_outbox add constraint no_audit check (topic <> 'audit')`
    expect((await stack.upload(alice, 'x')).status).toBe(500)
    expect(await stack.files()).toEqual([])
    expect(await mediaRows(stack)).toHaveLength(0)
  })

  test('needs memory that does not grow with it', async () => {
    await using stack = await startMessaging()
    const alice = await stack.authority.member()
    Bun.gc(true)
    const before = process.memoryUsage().rss
    let most = before
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss)
    }, 5)
    const bytes = 200_000_000
    const { body } = await stack.upload(alice, streamed(bytes))
    const response = await stack.request('GET', `/v1/media/${body.id}/content`, alice)
    let received = 0
    for await (const chunk of response.body!) received += chunk.length
    clearInterval(watch)
    expect([body.size, received]).toEqual([bytes, bytes])
    expect((most - before) / 1e6).toBeLessThan(100)
  })
})

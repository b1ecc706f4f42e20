import { describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { type Member, recordingLogger, type Stack, startMessaging } from './stack.ts'

const TEN = '0123456789'

async function fixture(stack: Stack, bytes: NonNullable<RequestInit['body']> = TEN, query = '?filename=ten.txt') {
  const alice = await stack.authority.member()
  const { body: media } = await stack.upload(alice, bytes, query)
  const get = (headers: Record<string, string> = {}, method = 'GET', member: Member | undefined = alice) =>
    stack.request(method, `/v1/media/${media.id}/content`, member, { headers })
  return { alice, media, get, etag: `"${media.sha256}"` }
}

/** How many of this process's descriptors are of files with this name. */
const openFiles = (name: string): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith(name)
    } catch {
      // Closed since it was listed, as the one that lists always is.
      return false
    }
  }).length

describe('downloading a file', () => {
  test('gives its bytes with what a browser needs to take them safely', async () => {
    await using stack = await startMessaging()
    const { get, etag } = await fixture(stack)
    const response = await get()
    expect([response.status, await response.text()]).toEqual([200, TEN])
    expect(Object.fromEntries(response.headers)).toEqual({
      'accept-ranges': 'bytes',
      'cache-control': 'private',
      'content-disposition': `inline; filename="ten.txt"; filename*=UTF-8''ten.txt`,
      'content-length': '10',
      'content-security-policy': "sandbox; default-src 'none'",
      'content-type': 'text/plain; charset=utf-8',
      etag,
      'last-modified': expect.stringMatching(/ GMT$/),
      'x-content-type-options': 'nosniff',
    })
    const head = await get({}, 'HEAD')
    expect([head.status, head.body]).toEqual([200, null])
    expect(Object.fromEntries(head.headers)).toEqual(Object.fromEntries(response.headers))
  })

  const ranges: [string, number, string, string | null][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-99', 206, TEN, 'bytes 0-9/10'],
    ['bytes=9-99', 206, '9', 'bytes 9-9/10'],
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['BYTES=2-3', 206, '23', 'bytes 2-3/10'],
    ['bytes=0-99999999999999999999', 206, TEN, 'bytes 0-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=99999999999999999999-', 416, '', 'bytes */10'],
    ['bytes=-0', 416, '', 'bytes */10'],
    ['bytes=5-3', 200, TEN, null],
    ['bytes=-', 200, TEN, null],
    ['bytes=a-b', 200, TEN, null],
    ['bytes=0-1,4-5', 200, TEN, null],
    ['lines=0-1', 200, TEN, null],
    ['bytes 0-1', 200, TEN, null],
  ]
  test('of a range is that part, of one that lies outside is refused, of one that makes no sense is whole', async () => {
    await using stack = await startMessaging()
    const { get } = await fixture(stack)
    for (const [range, status, text, contentRange] of ranges) {
      const response = await get({ range })
      expect([range, response.status, response.headers.get('content-range')]).toEqual([range, status, contentRange])
      if (status === 416) {
        expect(await response.json()).toMatchObject({ code: 'media.rangeNotSatisfiable', status: 416 })
      } else {
        expect(response.headers.get('content-length')).toBe(String(text.length))
        expect(await response.text()).toBe(text)
      }
    }
  })

  test('of an empty file has no range that could be satisfied', async () => {
    await using stack = await startMessaging()
    const { get } = await fixture(stack, '')
    expect((await get()).headers.get('content-length')).toBe('0')
    for (const range of ['bytes=0-', 'bytes=-5']) {
      const response = await get({ range })
      expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */0'])
    }
  })

  test('keeps to its conditions, in the order of RFC 9110', async () => {
    await using stack = await startMessaging()
    const { get, etag, media } = await fixture(stack)
    const modified = new Date(media.createdAt).toUTCString()
    const earlier = new Date(Date.parse(media.createdAt) - 60_000).toUTCString()
    const status = async (headers: Record<string, string>, method?: string) => {
      const response = await get(headers, method)
      if (response.status === 304) expect([response.body, response.headers.get('etag')]).toEqual([null, etag])
      return response.status
    }
    expect(await status({ 'if-none-match': etag })).toBe(304)
    expect(await status({ 'if-none-match': `W/${etag}` })).toBe(304)
    expect(await status({ 'if-none-match': `"other", ${etag}` })).toBe(304)
    expect(await status({ 'if-none-match': '*' })).toBe(304)
    expect(await status({ 'if-none-match': etag }, 'HEAD')).toBe(304)
    expect(await status({ 'if-none-match': etag, range: 'bytes=0-1' })).toBe(304)
    expect(await status({ 'if-none-match': '"other"' })).toBe(200)
    expect(await status({ 'if-none-match': '"other"', 'if-modified-since': modified })).toBe(200)
    expect(await status({ 'if-modified-since': modified })).toBe(304)
    expect(await status({ 'if-modified-since': earlier })).toBe(200)
    expect(await status({ 'if-modified-since': 'nonsense' })).toBe(200)
    expect(await status({ 'if-match': etag })).toBe(200)
    expect(await status({ 'if-match': '*' })).toBe(200)
    expect(await status({ 'if-match': '"other"' })).toBe(412)
    expect(await status({ 'if-match': `W/${etag}` })).toBe(412)
    expect(await status({ 'if-match': '"other"', 'if-none-match': etag })).toBe(412)
    expect(await status({ 'if-unmodified-since': modified })).toBe(200)
    expect(await status({ 'if-unmodified-since': earlier })).toBe(412)
    expect(await status({ range: 'bytes=0-1', 'if-range': etag })).toBe(206)
    expect(await status({ range: 'bytes=0-1', 'if-range': modified })).toBe(206)
    expect(await status({ range: 'bytes=0-1', 'if-range': '"other"' })).toBe(200)
    expect(await status({ range: 'bytes=0-1', 'if-range': `W/${etag}` })).toBe(200)
    expect(await status({ range: 'bytes=0-1', 'if-range': earlier })).toBe(200)
    expect(await status({ range: 'bytes=99-', 'if-range': '"other"' })).toBe(200)
    expect(await status({ range: 'bytes=0-1' }, 'HEAD')).toBe(200)
  })

  test('of 30 MB is whole, and so is every part', async () => {
    await using stack = await startMessaging()
    const bytes = randomBytes(30_000_000)
    const { get } = await fixture(stack, bytes, '')
    expect(Buffer.from(await (await get()).arrayBuffer()).equals(bytes)).toBe(true)
    for (const [start, end] of [
      [0, 0],
      [1, 29_999_998],
      [131_071, 131_073],
      [29_999_999, 29_999_999],
    ] as const) {
      const part = Buffer.from(await (await get({ range: `bytes=${start}-${end}` })).arrayBuffer())
      expect(part.equals(bytes.subarray(start, end + 1))).toBe(true)
    }
  })

  test('never runs it in the server’s name', async () => {
    await using stack = await startMessaging()
    for (const [name, bytes, kind, type] of [
      ['evil.html', '<html><script>alert(document.cookie)</script></html>', 'inline', 'text/plain; charset=utf-8'],
      ['evil.svg', '<?xml version="1.0"?><svg onload="alert(1)"/>', 'attachment', 'application/xml'],
      ['evil.pdf', '%PDF-1.7 javascript', 'attachment', 'application/pdf'],
      ['unknown', '\x00\x01<script>', 'attachment', 'application/octet-stream'],
    ]) {
      const { get } = await fixture(stack, bytes, `?filename=${name}`)
      const { headers } = await get()
      expect([name, headers.get('content-type')]).toEqual([name, type!])
      expect(headers.get('content-disposition')).toStartWith(`${kind}; `)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('content-security-policy')).toBe("sandbox; default-src 'none'")
    }
  })

  test('names the file in any script, and no name breaks out of the header', async () => {
    await using stack = await startMessaging()
    const name = `naïve "x"; filename=evil.exe\\ 日本 100% 'q'(*).txt`
    const { get } = await fixture(stack, TEN, `?filename=${encodeURIComponent(name.replace('\\', ''))}`)
    expect((await get()).headers.get('content-disposition')).toBe(
      `inline; filename="na_ve _x_; filename=evil.exe __ 100_ 'q'(*).txt"; ` +
        `filename*=UTF-8''na%C3%AFve%20%22x%22%3B%20filename%3Devil.exe%20%E6%97%A5%E6%9C%AC%20100%25%20%27q%27%28%2A%29.txt`,
    )
  })

  test.if(process.platform === 'linux')('by a client that goes away frees the descriptor', async () => {
    await using stack = await startMessaging()
    const { media, alice } = await fixture(stack, randomBytes(20_000_000), '')
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: stack.service.app.handle })
    const gone = new AbortController()
    const readers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const headers = { authorization: `Bearer ${alice.token}` }
        const url = `http://127.0.0.1:${server.port}/v1/media/${media.id}/content`
        const reader = (await fetch(url, { headers, signal: gone.signal, keepalive: false })).body!.getReader()
        await reader.read()
        return reader
      }),
    )
    expect(openFiles(media.id)).toBe(20)
    gone.abort()
    await Promise.allSettled(readers.map((reader) => reader.read()))
    await eventually(() => openFiles(media.id) === 0)
  })
})

describe('who may have a file', () => {
  test('its owner, and whoever may view a channel where a living message carries it; for others it is not there', async () => {
    await using stack = await startMessaging()
    const { alice, media, get } = await fixture(stack)
    const [bob, carol] = [await stack.authority.member(), await stack.authority.member()]
    const hidden = await stack.authority.channel({ name: 'hidden' })
    const everyone = stack.authority.snapshot.roles[0]!.id
    stack.authority.snapshot.overrides.push(
      { channelId: hidden.id, targetKind: 'role', targetId: everyone, allow: [], deny: ['channel.view'] },
      { channelId: hidden.id, targetKind: 'member', targetId: alice.userId, allow: ['channel.view'], deny: [] },
      { channelId: hidden.id, targetKind: 'member', targetId: bob.userId, allow: ['channel.view'], deny: [] },
    )
    await stack.authority.changed()
    const seen = async (member: Member) => {
      const metadata = await stack.json<object>('GET', `/v1/media/${media.id}`, member)
      const content = await get({}, 'GET', member)
      const head = await get({}, 'HEAD', member)
      expect([content.status, head.status]).toEqual([metadata.status, metadata.status])
      if (metadata.status === 404) {
        expect(metadata.body.code).toBe('media.notFound')
        // The very same as for a file that isn't there.
        const { requestId: _, ...absent } = (await stack.json<object>('GET', `/v1/media/${newId()}`, member)).body
        const { requestId: __, ...invisible } = metadata.body
        expect(invisible).toEqual(absent)
      }
      return metadata.status
    }
    expect([await seen(alice), await seen(bob), await seen(carol)]).toEqual([200, 404, 404])
    const message = (await stack.send(hidden.id, alice, { content: '', mediaIds: [media.id] })).body
    expect([await seen(alice), await seen(bob), await seen(carol)]).toEqual([200, 200, 404])
    await stack.json('DELETE', `/v1/channels/${hidden.id}/messages/${message.id}`, alice)
    expect([await seen(alice), await seen(bob), await seen(carol)]).toEqual([404, 404, 404])
    expect((await stack.request('GET', `/v1/media/${media.id}/content`, undefined)).status).toBe(401)
    expect((await stack.request('GET', '/v1/media/nonsense', alice)).status).toBe(422)
  })

  test('a file is attached by its owner alone, with media.attach in the channel, as many as the server allows', async () => {
    await using stack = await startMessaging()
    const { alice, media } = await fixture(stack)
    const bob = await stack.authority.member()
    const channel = await stack.authority.channel()
    const more = await Promise.all(Array.from({ length: 3 }, () => stack.upload(alice, 'x')))
    const ids = [media.id, ...more.map((one) => one.body.id)]
    const outcome = async (member: Member, mediaIds: string[]) => {
      const { status, body } = await stack.send(channel.id, member, { content: '', mediaIds })
      return status === 201 ? body.media.map((one) => one.id) : `${status} ${body.code}`
    }
    expect(await outcome(alice, ids.toReversed())).toEqual(ids.toReversed())
    expect(await outcome(bob, [media.id])).toBe('422 message.mediaNotFound')
    expect(await outcome(alice, [newId()])).toBe('422 message.mediaNotFound')
    expect(await outcome(alice, [media.id, media.id])).toBe('422 request.invalid')
    stack.authority.snapshot.server.limits.maxMediaPerMessage = 1
    await stack.authority.changed()
    expect(await outcome(alice, ids.slice(0, 2))).toBe('422 message.tooManyMedia')
    expect(await outcome(alice, [media.id])).toEqual([media.id])
    const everyone = stack.authority.snapshot.roles[0]!.id
    stack.authority.snapshot.overrides.push({
      channelId: channel.id,
      targetKind: 'role',
      targetId: everyone,
      allow: [],
      deny: ['media.attach'],
    })
    await stack.authority.changed()
    expect(await outcome(alice, [media.id])).toBe('403 access.forbidden')
    const { items } = (await stack.history(channel.id, bob)).body
    expect(items.map((item) => item.media.map((one) => one.id))).toEqual([ids.toReversed(), [media.id]])
  })
})

describe('a file goes', () => {
  test('when its owner deletes it while no message carries it', async () => {
    await using stack = await startMessaging()
    const { alice, media } = await fixture(stack)
    const bob = await stack.authority.member()
    const channel = await stack.authority.channel()
    const message = (await stack.send(channel.id, alice, { content: 'x', mediaIds: [media.id] })).body
    const remove = async (id: string, member?: Member) => {
      const { status, body } = await stack.json<object>('DELETE', `/v1/media/${id}`, member)
      return status === 204 ? 204 : `${status} ${body.code}`
    }
    expect(await remove(media.id)).toBe('401 access.unauthenticated')
    expect(await remove(media.id, bob)).toBe('403 media.notOwner')
    expect(await remove(media.id, alice)).toBe('409 media.attached')
    expect((await stack.json('GET', `/v1/channels/${channel.id}/messages/${message.id}`, bob)).body).toEqual(message)
    const lone = (await stack.upload(alice, 'lone')).body
    expect(await remove(lone.id, bob)).toBe('404 media.notFound')
    expect(await remove(lone.id, alice)).toBe(204)
    expect(await remove(lone.id, alice)).toBe('404 media.notFound')
    await eventually(async () => (await stack.files()).length === 1)
    const deleted = await eventually(() => stack.audited.find((one) => one.action === 'media.deleted'))
    expect(deleted).toMatchObject({ target: { id: lone.id }, actor: { id: alice.userId } })
  })

  test('with the last message that carries it, its object as well, and not before', async () => {
    await using stack = await startMessaging()
    const { alice, media } = await fixture(stack)
    const channel = await stack.authority.channel()
    const [first, second] = [
      (await stack.send(channel.id, alice, { content: '', mediaIds: [media.id] })).body,
      (await stack.send(channel.id, alice, { content: '', mediaIds: [media.id] })).body,
    ]
    await stack.json('DELETE', `/v1/channels/${channel.id}/messages/${first.id}`, alice)
    expect((await stack.json('GET', `/v1/media/${media.id}`, alice)).status).toBe(200)
    await stack.json('DELETE', `/v1/channels/${channel.id}/messages/${second.id}`, alice)
    expect((await stack.json('GET', `/v1/media/${media.id}`, alice)).status).toBe(404)
    expect(await stack.sql`select 1 from media`).toHaveLength(0)
    await eventually(async () => (await stack.files()).length === 0)
  })

  test('never from under a message: attached and deleted at once, one of the two wins', async () => {
    const { log, lines } = recordingLogger()
    await using stack = await startMessaging({ log })
    const { alice } = await fixture(stack)
    const channel = await stack.authority.channel()
    const files = await Promise.all(Array.from({ length: 20 }, () => stack.upload(alice, 'x')))
    const outcomes = await Promise.all(
      files.map(async ({ body: { id } }) => {
        const [sent, removed] = await Promise.all([
          stack.send(channel.id, alice, { content: '', mediaIds: [id] }),
          stack.json('DELETE', `/v1/media/${id}`, alice),
        ])
        return `${sent.status} ${removed.status}`
      }),
    )
    expect(lines).toEqual([])
    for (const outcome of outcomes) expect(['201 409', '422 204']).toContain(outcome)
    const { items } = (await stack.history(channel.id, alice)).body
    expect(items.every((item) => item.media.length === 1)).toBe(true)
    expect(items).toHaveLength(outcomes.filter((outcome) => outcome === '201 409').length)
  })

  test('also when the object store was away at that moment', async () => {
    await using stack = await startMessaging()
    const { alice, media } = await fixture(stack)
    const remove = stack.objects.delete
    let refusals = 0
    stack.objects.delete = async () => {
      refusals += 1
      throw new Error('away')
    }
    expect((await stack.json('DELETE', `/v1/media/${media.id}`, alice)).status).toBe(204)
    await eventually(() => refusals > 0)
    stack.objects.delete = remove
    await eventually(async () => (await stack.files()).length === 0)
  })
})

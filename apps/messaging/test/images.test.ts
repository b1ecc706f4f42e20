import { describe, expect, test } from 'bun:test'
import { createHash, randomBytes } from 'node:crypto'
import type { Media } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import sharp from 'sharp'
import { createMessagingService } from '../src/service.ts'
import {
  FORMATS,
  type Format,
  gifOfFrames,
  picture,
  pixelsOf,
  pngBomb,
  pngChunk,
  SECRET,
  stuffedJpeg,
  stuffedPng,
  telling,
} from './picture-files.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'
import { usage } from './tus.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const settled = (stack: Stack, who: Member, id: string): Promise<Media> =>
  eventually(async () => {
    const { body } = await stack.json<Media>('GET', `/v1/media/${id}`, who)
    return body.state === 'processing' ? undefined : body
  }, 30_000)

const content = async (stack: Stack, who: Member, id: string, query = '') =>
  Buffer.from(await (await stack.request('GET', `/v1/media/${id}/content${query}`, who)).arrayBuffer())

/** Uploads a file and waits until it was looked into; what is said of it then, and its bytes. */
async function shown(stack: Stack, who: Member, bytes: Uint8Array) {
  const { body } = await stack.upload(who, bytes)
  const media = await settled(stack, who, body.id)
  return { media, bytes: await content(stack, who, body.id) }
}

describe('a picture', () => {
  test.each(FORMATS)('of type %s shows the same as before, and tells nothing', async (format) => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const original = await telling(format)
    // GIF has no Exif; what libvips writes into it is no more than a comment, if anything.
    if (format !== 'gif') expect(original.includes(SECRET)).toBe(true)
    const { media, bytes } = await shown(stack, ann, original)
    expect(bytes.includes(SECRET)).toBe(false)
    expect(bytes.includes('xmpmeta')).toBe(false)
    expect(await pixelsOf(bytes)).toEqual(await pixelsOf(original))
    const { width, height, orientation, exif } = await sharp(bytes).metadata()
    const turned = (orientation ?? 1) >= 5
    expect([media.width, media.height]).toEqual(turned ? [height, width] : [width, height])
    expect(exif?.includes('GPS') ?? false).toBe(false)
    // An orientation at the most; of an AVIF it leaves the room, with nothing in it.
    if (exif) expect(exif.length < 40 || exif.every((byte) => byte === 0)).toBe(true)
    expect(media).toMatchObject({
      contentType: `image/${format}`,
      size: bytes.length,
      sha256: sha256(bytes),
      state: 'ready',
      thumbnail: true,
    })
    expect(await usage(stack, ann.userId)).toEqual([bytes.length, 1, 0])
    // Only what is shown is kept: nobody finds what it told in the store.
    await eventually(async () => (await stack.files()).length === 2)
    for await (const object of [await stack.objects.list()].flatMap(({ objects }) => objects)) {
      expect(await new Response((await stack.objects.get(object.key)).body).text()).not.toContain(SECRET)
    }
  })

  test('tells nothing from wherever a JPEG can', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const jpeg = await picture().jpeg({ progressive: true }).toBuffer()
    const second = await telling('jpeg')
    const stuffed = stuffedJpeg(
      jpeg,
      [
        [0xe0, `JFXX\0${SECRET}`],
        [0xe1, `http://ns.adobe.com/xap/1.0/\0${SECRET}`],
        [0xe2, `MPF\0${SECRET}`],
        [0xe3, SECRET],
        [0xed, `Photoshop 3.0\0${SECRET}`],
        [0xef, SECRET],
        [0xfe, SECRET],
      ],
      second,
    )
    const { media, bytes } = await shown(stack, ann, stuffed)
    expect(bytes.equals(jpeg)).toBe(true)
    expect(media.sha256).toBe(sha256(jpeg))
  })

  test('tells nothing from wherever a PNG, a WebP or a GIF can', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const png = await picture().png().toBuffer()
    const chunks = ['tEXt', 'iTXt', 'zTXt', 'tIME', 'eXIf', 'prVt'].map((type) => pngChunk(type, SECRET))
    expect((await shown(stack, ann, stuffedPng(png, chunks, SECRET))).bytes.equals(png)).toBe(true)

    const webp = await picture().webp().toBuffer()
    const chunk = Buffer.concat([Buffer.from('XMP \x16\0\0\0', 'latin1'), Buffer.from(`${SECRET}.`)])
    const stuffedWebp = Buffer.concat([webp, chunk, Buffer.from(SECRET)])
    stuffedWebp.writeUInt32LE(webp.length + chunk.length - 8, 4)
    expect((await shown(stack, ann, stuffedWebp)).bytes.equals(webp)).toBe(true)

    const gif = await picture({ pages: 3 }).gif({ loop: 2 }).toBuffer()
    const part = Buffer.concat([Buffer.from([SECRET.length]), Buffer.from(SECRET), Buffer.from([0])])
    const comment = Buffer.concat([Buffer.from([0x21, 0xfe]), part])
    const application = Buffer.concat([Buffer.from('!\xff\x0bXMP DataXMP', 'latin1'), part])
    const [body, end] = [gif.subarray(0, -1), gif.subarray(-1)]
    const stuffedGif = Buffer.concat([body, comment, application, end, Buffer.from(SECRET)])
    expect((await shown(stack, ann, stuffedGif)).bytes.equals(gif)).toBe(true)
  })

  test('that tells nothing stays as it is', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    for (const format of ['jpeg', 'png', 'webp', 'gif', 'avif'] as Format[]) {
      const original = await picture().toFormat(format).toBuffer()
      const { media, bytes } = await shown(stack, ann, original)
      expect([format, bytes.equals(original), media.sha256]).toEqual([format, true, sha256(original)])
    }
  })

  test('has a thumbnail: of at most 400 pixels, upright, of the first frame, cached and as safe as the picture', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const sizes: [Buffer, [number, number]][] = [
      [await picture({ width: 1200, height: 600 }).jpeg().toBuffer(), [400, 200]],
      [await picture({ width: 1200, height: 600 }).jpeg().withMetadata({ orientation: 6 }).toBuffer(), [200, 400]],
      [await picture({ width: 50, height: 30 }).png().toBuffer(), [50, 30]],
      [await picture({ width: 500, height: 250, pages: 3 }).gif().toBuffer(), [400, 200]],
      [await picture({ width: 500, height: 250, pages: 3 }).webp().toBuffer(), [400, 200]],
    ]
    for (const [bytes, [width, height]] of sizes) {
      const { media } = await shown(stack, ann, bytes)
      const thumbnail = await sharp(await content(stack, ann, media.id, '?variant=thumb')).metadata()
      expect([thumbnail.format, thumbnail.width, thumbnail.height, thumbnail.pages ?? 1]).toEqual([
        'webp',
        width,
        height,
        1,
      ])
    }
    const { body: media } = await stack.upload(ann, sizes[0]![0])
    await settled(stack, ann, media.id)
    const path = `/v1/media/${media.id}/content?variant=thumb`
    const first = await stack.request('GET', path, ann)
    expect(first.headers.get('content-type')).toBe('image/webp')
    expect(first.headers.get('x-content-type-options')).toBe('nosniff')
    expect(first.headers.get('content-security-policy')).toBe("sandbox; default-src 'none'")
    const etag = first.headers.get('etag')!
    expect((await stack.request('GET', path, ann, { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect((await stack.request('GET', path, ann, { headers: { range: 'bytes=0-3' } })).status).toBe(206)
    expect((await stack.request('GET', path, bob)).status).toBe(404)
    expect((await stack.json('GET', path.replace('thumb', 'large'), ann)).status).toBe(422)
    const { body: words } = await stack.upload(ann, 'no picture')
    expect((await stack.json('GET', `/v1/media/${words.id}/content?variant=thumb`, ann)).body.code).toBe(
      'media.noThumbnail',
    )
  })

  test('goes with its thumbnail', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const { media } = await shown(stack, ann, await telling('jpeg'))
    await eventually(async () => (await stack.files()).length === 2)
    await stack.json('DELETE', `/v1/media/${media.id}`, ann)
    await eventually(async () => (await stack.files()).length === 0)
    expect(await usage(stack, ann.userId)).toEqual([0, 0, 0])
  })
})

describe('a picture that nobody has looked into yet', () => {
  test('goes out with a message only once it tells nothing', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const { body: media } = await stack.upload(ann, await telling('jpeg'))
    const { status, body: message } = await stack.send(channel.id, ann, { content: '', mediaIds: [media.id] })
    expect(status).toBe(201)
    expect(message.media[0]).toMatchObject({ state: 'ready', width: 40, height: 60, thumbnail: true })
    const bytes = await content(stack, bob, media.id)
    expect(bytes.includes(SECRET)).toBe(false)
    expect(sha256(bytes)).toBe(message.media[0]!.sha256)
  })

  test('is shown to nobody but its uploader: neither sent, nor published, nor seen where it was sent before', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const { media } = await shown(stack, ann, await telling('jpeg'))
    await stack.send(channel.id, ann, { content: '', mediaIds: [media.id] })
    await stack.service.stop()
    await stack.sql`update media set state = 'processing'`
    // An instance that looks into nothing.
    const idle = createMessagingService(stack.deps)
    const ask = async (method: string, path: string, who: Member, body?: unknown) => {
      const headers = { authorization: `Bearer ${who.token}`, ...(body ? { 'content-type': 'application/json' } : {}) }
      const sent = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) }
      const answer = await idle.app.handle(new Request(`http://localhost${path}`, sent))
      return `${answer.status} ${answer.ok ? '' : ((await answer.json()) as { code: string }).code}`
    }
    const path = `/v1/media/${media.id}`
    const message = { content: '', mediaIds: [media.id] }
    expect(
      await Promise.all([
        ask('GET', `${path}/content`, bob),
        ask('GET', `${path}/content?variant=thumb`, bob),
        ask('POST', `/v1/channels/${channel.id}/messages`, ann, message),
        ask('GET', `${path}/content`, ann),
        ask('GET', path, bob),
      ]),
    ).toEqual(['409 media.processing', '409 media.processing', '409 message.mediaProcessing', '200 ', '200 '])
    await idle.stop()
  })

  test('is looked into after a restart, also where it is from before there was anything to look', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    await stack.service.stop()
    const { body: media } = await stack.upload(ann, await telling('jpeg'))
    expect(media.state).toBe('processing')
    // Whoever had begun with it died long ago.
    await stack.sql`update media_objects set attempts = 1, claimed_until = now() - interval '1 minute'`
    const again = createMessagingService(stack.deps)
    await again.start()
    await settled(stack, ann, media.id)
    expect((await content(stack, ann, media.id)).includes(SECRET)).toBe(false)
    await again.stop()
  })

  test('that this server dies of is a file in the end, and holds up no other', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    await stack.service.stop()
    const { body: deadly } = await stack.upload(ann, await telling('jpeg'))
    const { body: other } = await stack.upload(ann, await telling('png'))
    await stack.sql`update media_objects set attempts = 3 where id = ${deadly.id}`
    const again = createMessagingService(stack.deps)
    await again.start()
    expect((await settled(stack, ann, other.id)).thumbnail).toBe(true)
    expect(await settled(stack, ann, deadly.id)).toMatchObject({
      contentType: 'application/octet-stream',
      thumbnail: false,
    })
    await again.stop()
  })
})

describe('what claims to be a picture, and is none,', () => {
  test('or is broken, is a file that no browser shows', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const jpeg = await telling('jpeg')
    const broken = [
      Buffer.concat([jpeg.subarray(0, 20), randomBytes(500)]),
      Buffer.from('GIF89a'),
      Buffer.concat([Buffer.from('GIF89a'), randomBytes(3000)]),
      Buffer.concat([(await picture().png().toBuffer()).subarray(0, 40), randomBytes(200)]),
      Buffer.concat([Buffer.from('RIFF\xff\xff\xff\x7fWEBPVP8 ', 'latin1'), randomBytes(100)]),
      Buffer.concat([(await telling('tiff')).subarray(0, 100), randomBytes(100)]),
      Buffer.concat([(await telling('avif')).subarray(0, 64), randomBytes(3000)]),
    ]
    for (const [index, bytes] of broken.entries()) {
      const { media, bytes: served } = await shown(stack, ann, bytes)
      expect([index, media.contentType, media.state, media.thumbnail, media.width]).toEqual([
        index,
        'application/octet-stream',
        'ready',
        false,
        null,
      ])
      expect(served.equals(bytes)).toBe(true)
      const response = await stack.request('GET', `/v1/media/${media.id}/content`, ann)
      expect(response.headers.get('content-disposition')).toStartWith('attachment')
    }
  })

  test('and what a camera took as it came from its sensor, stays as it is, as a file', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const tiff = await telling('tiff')
    const raw = Buffer.from(tiff)
    // Another tag in the place of one that says little: the version of DNG.
    const directory = raw.readUInt32LE(4)
    raw.writeUInt16LE(50706, directory + 2 + 11 * 12)
    const { media, bytes } = await shown(stack, ann, raw)
    expect([media.contentType, bytes.equals(raw)]).toEqual(['application/octet-stream', true])
  })

  test('and a picture cut short is shown as far as it goes, and tells nothing', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const jpeg = await telling('jpeg')
    const { media, bytes } = await shown(stack, ann, jpeg.subarray(0, jpeg.length - 400))
    expect([media.contentType, media.thumbnail, bytes.includes(SECRET)]).toEqual(['image/jpeg', true, false])
  })

  test('a bomb is not decoded, in time and memory that it does not decide', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const before = process.memoryUsage.rss()
    const began = performance.now()
    const { media: bomb } = await shown(stack, ann, pngBomb(50_000, 50_000))
    expect([bomb.contentType, bomb.thumbnail]).toEqual(['application/octet-stream', false])
    // Within the limit of pixels, but without them.
    const { media: hollow } = await shown(stack, ann, pngBomb(16_000, 16_000))
    expect(hollow.state).toBe('ready')
    const { media: film } = await shown(stack, ann, gifOfFrames(100_000))
    expect([film.contentType, film.width, film.height]).toEqual(['image/gif', 1, 1])
    expect(performance.now() - began).toBeLessThan(60_000)
    expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(300)
  })

  test('survives whatever the bytes say', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const ids: string[] = []
    for (const format of FORMATS) {
      const original = await telling(format)
      for (let round = 0; round < 8; round += 1) {
        const bytes = Buffer.from(original)
        // What its type is found by stays.
        for (let hit = 0; hit < 12; hit += 1) {
          const at = 16 + Math.floor(Math.random() * Math.min(400, bytes.length - 16))
          bytes[at] = Math.floor(Math.random() * 256)
        }
        ids.push((await stack.upload(ann, bytes)).body.id)
      }
    }
    for (const id of ids) expect((await settled(stack, ann, id)).state).toBe('ready')
    expect((await stack.json('GET', `/v1/media/${ids[0]}`, ann)).status).toBe(200)
  }, 60_000)
})

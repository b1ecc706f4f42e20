import { describe, expect, test } from 'bun:test'
import type { Media } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { checkMedia } from '../src/admin.ts'
import { createMessagingService } from '../src/service.ts'
import { picture } from './picture-files.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'
import { PART, tusClient, usage } from './tus.ts'

const DAY_MS = 86_400_000
const tomorrow = { now: () => new Date(Date.now() + DAY_MS + 60_000) }
const IN_ORDER = {
  orphans: { objects: 0, bytes: 0, uploads: 0 },
  lost: { files: 0, found: 0, thumbnails: 0 },
  miscounted: 0,
}

const check = ({ deps }: Stack, repair: boolean, clock = tomorrow) =>
  checkMedia({ db: deps.db, objects: deps.objects, clock }, { repair })

const settled = (stack: Stack) =>
  eventually(async () => (await stack.sql`select 1 from media_objects where processed_at is null`).length === 0)

const getMedia = async (stack: Stack, who: Member, id: string) =>
  (await stack.json<Media>('GET', `/v1/media/${id}`, who)).body

/** Files of every kind, all in order: whole, with a thumbnail, shared, half there, and whole but not recorded. */
async function populate(stack: Stack, who: Member) {
  const { body: words } = await stack.upload(who, 'words')
  await stack.upload(who, 'words')
  const { body: shown } = await stack.upload(
    who,
    await picture()
      .withExif({ IFD0: { Artist: 'x' } })
      .jpeg()
      .toBuffer(),
  )
  const tus = tusClient(stack, who)
  await tus.part(await tus.begun(10), 0, 'hello')
  await tus.begin(4, { 'content-type': PART['content-type'] }, 'done')
  const whole = await tus.begun(5)
  const [row] = await stack.sql`select object_key, handle from media_uploads where id = ${whole.slice(-36)}`
  const upload = stack.objects.openUpload({ key: row!.object_key, handle: row!.handle })
  await upload.append(Buffer.from('whole'), { at: 0 })
  await upload.complete()
  await settled(stack)
  // What was replaced goes a moment later.
  await eventually(async () => (await stack.files()).length === 6)
  return { words, shown }
}

describe('the check of what is stored', () => {
  test('finds nothing where all is in order, and touches nothing', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    await populate(stack, ann)
    for (const repair of [false, true]) expect(await check(stack, repair)).toEqual(IN_ORDER)
    expect((await stack.files()).length).toBe(6)
  })

  test('finds what nobody knows of, once it is a day old; removes it only when told to', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    await populate(stack, ann)
    await stack.objects.put('media/ab/nobodys', new Uint8Array(100))
    await stack.objects.put('another/thing', new Uint8Array(100))
    const address = { key: 'media/ab/begun', handle: await stack.objects.beginUpload('media/ab/begun') }
    await stack.objects.openUpload(address).append(new Uint8Array(10), { at: 0 })
    expect(await check(stack, true, { now: () => new Date() })).toEqual(IN_ORDER)
    const orphans = { objects: 1, bytes: 100, uploads: 1 }
    for (const repair of [false, false, true]) {
      expect(await check(stack, repair)).toEqual({ ...IN_ORDER, orphans })
    }
    expect(await check(stack, false)).toEqual(IN_ORDER)
    expect((await stack.objects.head('another/thing')).size).toBe(100)
    expect((await stack.files()).length).toBe(7)
  })

  test('finds files whose bytes are gone, and again when they are back', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const ann = await stack.authority.member()
    const { words } = await populate(stack, ann)
    const [{ key } = { key: '' }] = await stack.sql`select o.key from media_objects o join media m on m.object_id = o.id
      where m.id = ${words.id}`
    await stack.objects.delete(key)
    const lost = { files: 2, found: 0, thumbnails: 0 }
    expect(await check(stack, false)).toEqual({ ...IN_ORDER, lost })
    expect((await getMedia(stack, ann, words.id)).state).toBe('ready')
    for (const _ of [1, 2]) expect((await check(stack, true)).lost).toEqual(lost)
    expect((await getMedia(stack, ann, words.id)).state).toBe('lost')
    expect((await stack.json('GET', `/v1/media/${words.id}/content`, ann)).body.code).toBe('media.notFound')
    const { body: refused } = await stack.send(channel.id, ann, { content: '', mediaIds: [words.id] })
    expect(refused.code).toBe('message.mediaNotFound')
    await stack.objects.put(key, Buffer.from('words'))
    expect((await check(stack, true)).lost).toEqual({ files: 0, found: 2, thumbnails: 0 })
    await settled(stack)
    expect((await getMedia(stack, ann, words.id)).state).toBe('ready')
    expect(await check(stack, false)).toEqual(IN_ORDER)
  })

  test('has thumbnails that are gone made anew', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const { shown } = await populate(stack, ann)
    const before = await getMedia(stack, ann, shown.id)
    const [{ key } = { key: '' }] = await stack.sql`select thumbnail_key as key from media_objects
      where thumbnail_key is not null`
    await stack.objects.delete(key)
    expect((await check(stack, true)).lost).toEqual({ files: 0, found: 0, thumbnails: 1 })
    await settled(stack)
    expect(await getMedia(stack, ann, shown.id)).toEqual(before)
    expect((await stack.request('GET', `/v1/media/${shown.id}/content?variant=thumb`, ann)).status).toBe(200)
  })

  test('counts anew what is stored for whom', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    await populate(stack, ann)
    const right = await usage(stack, ann.userId)
    await stack.sql`update media_usage set bytes = bytes + 1 where holder = ${ann.userId}`
    await stack.sql`insert into media_usage (holder, files) values (${bob.userId}, 1)`
    await stack.sql`delete from media_usage where holder = 'server'`
    expect((await check(stack, false)).miscounted).toBe(3)
    expect((await check(stack, true)).miscounted).toBe(3)
    expect(await check(stack, false)).toEqual(IN_ORDER)
    expect(await usage(stack, ann.userId)).toEqual(right)
    expect(await usage(stack, 'server')).toEqual(right)
  })

  test('goes on beside uploads and deletions, and harms none', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const another = createMessagingService(stack.deps)
    await another.start()
    const work = Array.from({ length: 30 }, async (_, index) => {
      const { body } = await stack.upload(ann, `file ${index % 5}`)
      if (index % 2 === 0) await stack.json('DELETE', `/v1/media/${body.id}`, ann)
      return index % 2 === 0 ? undefined : body.id
    })
    const now = { now: () => new Date() }
    const checks = Array.from({ length: 5 }, () => check(stack, true, now))
    const ids = (await Promise.all(work)).filter((id) => id !== undefined)
    for (const { lost, miscounted } of await Promise.all(checks)) {
      expect(lost).toEqual(IN_ORDER.lost)
      expect(miscounted).toBe(0)
    }
    for (const id of ids) expect((await stack.request('GET', `/v1/media/${id}/content`, ann)).status).toBe(200)
    await another.stop()
  })
})

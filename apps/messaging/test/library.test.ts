import { describe, expect, test } from 'bun:test'
import type { LibraryItem, Media, Page, StorageUsage } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { picture } from './picture-files.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'
import { tusClient } from './tus.ts'

const library = (stack: Stack, who: Member | undefined, query = '') =>
  stack.json<Page<LibraryItem>>('GET', `/v1/library${query}`, who)

const names = async (stack: Stack, who: Member, query = '') =>
  (await library(stack, who, query)).body.items.map(({ media }) => media.filename)

async function sendFile(
  stack: Stack,
  who: Member,
  channelId: string,
  filename: string,
  bytes: Uint8Array | string = 'x',
) {
  const { body: media } = await stack.upload(who, bytes, `?filename=${filename}`)
  const { body: message } = await stack.send(channelId, who, { content: '', mediaIds: [media.id] })
  return { media, message }
}

const hide = (stack: Stack, channelId: string, denied: 'channel.view' | 'message.history') => {
  const { snapshot } = stack.authority
  const everyone = snapshot.roles[0]!.id
  snapshot.overrides.push({ channelId, targetKind: 'role', targetId: everyone, allow: [], deny: [denied] })
  return stack.authority.changed()
}

test('a list that takes too long is given up, and ends in the database', async () => {
  await using stack = await startMessaging()
  await stack.authority.channel()
  const ann = await stack.authority.member()
  const lock = await stack.sql.reserve()
  await lock`begin`
  await lock`lock table message_media in access exclusive mode`
  const answer = await library(stack, ann)
  expect([answer.status, answer.body.code, answer.body.retryAfter]).toEqual([503, 'library.tooSlow', 10])
  const waiting =
    await stack.sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  expect(waiting).toHaveLength(0)
  await lock`rollback`
  lock.release()
  expect((await library(stack, ann)).status).toBe(200)
}, 30_000)

describe('the library', () => {
  test('lists files where messages carry them, newest first, page by page', async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel({ name: 'other' })]
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const first = await sendFile(stack, ann, one.id, 'first.txt')
    await stack.upload(ann, 'nowhere', '?filename=kept.txt')
    const many = await Promise.all(['a', 'b', 'c'].map((name) => stack.upload(bob, name, `?filename=${name}`)))
    const mediaIds = many.map(({ body }) => body.id)
    await stack.send(other.id, bob, { content: '', mediaIds })
    await stack.send(one.id, bob, { content: 'again', mediaIds: [mediaIds[0]!] })
    expect(await names(stack, ann)).toEqual(['a', 'c', 'b', 'a', 'first.txt'])
    const found: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await library(stack, ann, `?limit=2${cursor && `&cursor=${cursor}`}`)
      expect(body.items.length).toBeLessThanOrEqual(2)
      found.push(...body.items.map(({ media }) => media.filename))
      cursor = body.nextCursor
    }
    expect(found).toEqual(['a', 'c', 'b', 'a', 'first.txt'])
    const last = (await library(stack, ann)).body.items.at(-1)!
    expect(last).toEqual({
      media: first.media,
      channelId: one.id,
      messageId: first.message.id,
      attachedAt: first.message.createdAt,
    })
  })

  test('by kind, uploader and channel', async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel({ name: 'other' })]
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    await sendFile(stack, ann, one.id, 'words')
    await sendFile(stack, bob, other.id, 'picture', await picture().png().toBuffer())
    await sendFile(stack, ann, other.id, 'sound', Buffer.concat([Buffer.from('fLaC'), Buffer.alloc(64)]))
    expect(await names(stack, ann, '?kind=image')).toEqual(['picture'])
    expect(await names(stack, ann, '?kind=audio')).toEqual(['sound'])
    expect(await names(stack, ann, '?kind=video')).toEqual([])
    expect(await names(stack, ann, '?kind=other')).toEqual(['words'])
    expect(await names(stack, ann, `?uploaderId=${ann.userId}`)).toEqual(['sound', 'words'])
    expect(await names(stack, ann, `?channelId=${other.id}&uploaderId=${ann.userId}`)).toEqual(['sound'])
    for (const bad of ['?kind=all', '?channelId=x', '?limit=0', '?cursor=nonsense', '?unknown=1']) {
      expect((await library(stack, ann, bad)).status).toBe(422)
    }
  })

  test('shows nothing of where one may not look, or not back, nor what was deleted', async () => {
    await using stack = await startMessaging()
    const [seen, closed, live] = [
      await stack.authority.channel(),
      await stack.authority.channel({ name: 'closed' }),
      await stack.authority.channel({ name: 'live' }),
    ]
    const [ann, bob] = [await stack.authority.member({ owner: true }), await stack.authority.member()]
    for (const [channel, name] of [
      [seen, 'seen'],
      [closed, 'hidden'],
      [live, 'gone by'],
    ] as const) {
      await sendFile(stack, ann, channel.id, name)
    }
    const { message } = await sendFile(stack, ann, seen.id, 'deleted')
    await stack.json('DELETE', `/v1/channels/${seen.id}/messages/${message.id}`, ann)
    await hide(stack, closed.id, 'channel.view')
    await hide(stack, live.id, 'message.history')
    expect(await names(stack, bob)).toEqual(['seen'])
    for (const { id } of [closed, live, { id: newId() }]) {
      expect((await library(stack, bob, `?channelId=${id}`)).body.code).toBe('channel.notFound')
    }
    expect((await names(stack, ann)).sort()).toEqual(['gone by', 'hidden', 'seen'])
    expect((await library(stack, undefined)).status).toBe(401)
    const { token } = stack.authority.apiToken(ann.userId, ['channel.view'])
    expect((await library(stack, { ...ann, token })).body.code).toBe('access.forbidden')
  })

  test('has the files of conversations, for those who take part', async () => {
    await using stack = await startMessaging()
    const [ann, bob, eve] = [
      await stack.authority.member(),
      await stack.authority.member(),
      await stack.authority.member({ owner: true }),
    ]
    const { body } = await stack.json<{ id: string }>('POST', '/v1/dms', ann, { userIds: [bob.userId] })
    await sendFile(stack, ann, body.id, 'between')
    expect(await names(stack, bob)).toEqual(['between'])
    expect(await names(stack, eve)).toEqual([])
  })
})

test('what is stored is told to whom it belongs, and in all to who looks after the server', async () => {
  await using stack = await startMessaging({ quotas: { person: 1000, server: undefined } })
  const [ann, bob] = [await stack.authority.member(), await stack.authority.member({ owner: true })]
  const read = async (who: Member) => (await stack.json<StorageUsage>('GET', '/v1/library/usage', who)).body
  const nothing = { bytes: 0, files: 0, reservedBytes: 0, quotaBytes: 1000, leftBytes: 1000, server: null }
  expect(await read(ann)).toEqual(nothing)
  await stack.upload(ann, 'x'.repeat(300))
  await tusClient(stack, ann).begun(200)
  const own = { bytes: 300, files: 1, reservedBytes: 200 }
  expect(await read(ann)).toEqual({ ...own, quotaBytes: 1000, leftBytes: 500, server: null })
  expect(await read(bob)).toEqual({ ...nothing, server: { ...own, quotaBytes: null, leftBytes: null } })
})

describe('the same bytes', () => {
  const objects = async (stack: Stack) =>
    (await stack.sql`select id from media_objects where processed_at is not null`).length
  const settled = (stack: Stack) =>
    eventually(async () => (await stack.sql`select 1 from media_objects where processed_at is null`).length === 0)
  const files = (stack: Stack, count: number) => eventually(async () => (await stack.files()).length === count)

  test('uploaded again by the same person are kept once, and count twice', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const uploads = await Promise.all(
      Array.from({ length: 6 }, (_, index) => stack.upload(ann, 'same', `?filename=${index}`)),
    )
    await settled(stack)
    await files(stack, 1)
    expect(await objects(stack)).toBe(1)
    for (const { body } of uploads) {
      const response = await stack.request('GET', `/v1/media/${body.id}/content`, ann)
      expect(await response.text()).toBe('same')
    }
    const { body: usage } = await stack.json<StorageUsage>('GET', '/v1/library/usage', ann)
    expect([usage.bytes, usage.files]).toEqual([24, 6])
    for (const { body } of uploads.slice(1)) await stack.json('DELETE', `/v1/media/${body.id}`, ann)
    expect((await stack.request('GET', `/v1/media/${uploads[0]!.body.id}/content`, ann)).status).toBe(200)
    await stack.json('DELETE', `/v1/media/${uploads[0]!.body.id}`, ann)
    await files(stack, 0)
    expect(await stack.sql`select 1 from media_objects`).toHaveLength(0)
  })

  test('are shared where one may see them, pictures with all that was made of them; of others nobody learns', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob, eve] = [
      await stack.authority.member(),
      await stack.authority.member(),
      await stack.authority.member(),
    ]
    const bytes = await picture({ width: 500, height: 300 })
      .withExif({ IFD0: { Artist: 'ann' } })
      .jpeg()
      .toBuffer()
    const sent = await sendFile(stack, ann, channel.id, 'sent.jpg', bytes)
    const { body: kept } = await stack.upload(ann, 'kept to herself')
    await settled(stack)
    await files(stack, 3)
    const { body: again } = await stack.upload(bob, bytes)
    // What an upload answers is the same whatever is there already.
    expect(again).toMatchObject({ state: 'processing', size: bytes.length, thumbnail: false })
    await settled(stack)
    const { body: shared } = await stack.json<Media>('GET', `/v1/media/${again.id}`, bob)
    expect(shared).toMatchObject({ sha256: sent.message.media[0]!.sha256, width: 500, height: 300, thumbnail: true })
    await files(stack, 3)
    await stack.upload(eve, 'kept to herself')
    await settled(stack)
    await files(stack, 4)
    await stack.json('DELETE', `/v1/media/${kept.id}`, ann)
    await files(stack, 3)
  })

  test('uploaded and deleted at the same time are there as long as somebody has them', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const rounds = Array.from({ length: 12 }, async (_, index) => {
      const { body } = await stack.upload(ann, 'same')
      if (index % 3 === 0) return body.id
      await stack.json('DELETE', `/v1/media/${body.id}`, ann)
      return undefined
    })
    const left = (await Promise.all(rounds)).filter((id) => id !== undefined)
    await settled(stack)
    await files(stack, 1)
    for (const id of left) {
      expect(await (await stack.request('GET', `/v1/media/${id}/content`, ann)).text()).toBe('same')
    }
  })
})

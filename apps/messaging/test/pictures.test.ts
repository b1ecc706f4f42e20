import { describe, expect, test } from 'bun:test'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { picture } from './picture-files.ts'
import { audited } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const padded = (head: Uint8Array | string, size: number) =>
  Buffer.concat([Buffer.from(head as string), Buffer.alloc(size)])

const refusal = (done: Promise<unknown>) =>
  done.then(
    () => 'done',
    (error: { status: number; code: string }) => `${error.status} ${error.code}`,
  )

const sees = async (stack: Stack, id: string, who: Member) => [
  (await stack.json('GET', `/v1/media/${id}`, who)).status,
  (await stack.request('GET', `/v1/media/${id}/content`, who)).status,
]

describe('a picture that is shown', () => {
  test('is seen by every member, until it is taken back everywhere; then as before', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const { body: picture } = await stack.upload(ann, PNG)
    const publication = { mediaId: picture.id, holder: `user:${ann.userId}` }
    expect(await sees(stack, picture.id, bob)).toEqual([404, 404])
    for (const _ of [1, 2]) await stack.port.publishImage({ ...publication, userId: ann.userId })
    await stack.port.publishImage({ mediaId: picture.id, userId: ann.userId })
    expect(await sees(stack, picture.id, bob)).toEqual([200, 200])
    for (const _ of [1, 2]) await stack.port.withdrawImage(publication)
    expect(await sees(stack, picture.id, bob)).toEqual([200, 200])
    await stack.port.withdrawImage({ mediaId: picture.id })
    await stack.port.withdrawImage({ mediaId: newId() })
    expect(await sees(stack, picture.id, bob)).toEqual([404, 404])
    expect(await sees(stack, picture.id, ann)).toEqual([200, 200])
    expect((await stack.request('GET', `/v1/media/${picture.id}`, undefined)).status).toBe(401)
  })

  test('stays while it is shown: neither its uploader nor the end of a message removes it', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const ann = await stack.authority.member()
    const { body: picture } = await stack.upload(ann, PNG)
    await stack.port.publishImage({ mediaId: picture.id, userId: ann.userId })
    const remove = async () => {
      const { status, body } = await stack.json('DELETE', `/v1/media/${picture.id}`, ann)
      return `${status} ${body?.code}`
    }
    expect(await remove()).toBe('409 media.published')
    const { body: message } = await stack.send(channel.id, ann, { content: 'look', mediaIds: [picture.id] })
    await stack.json('DELETE', `/v1/channels/${channel.id}/messages/${message.id}`, ann)
    expect(await sees(stack, picture.id, ann)).toEqual([200, 200])
    await stack.port.withdrawImage({ mediaId: picture.id })
    expect(await remove()).toBe('204 undefined')
  })

  test('is somebody’s own, and a picture by its bytes, of up to 5 MiB', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const publish = async (body: Buffer | string, by = ann, name = 'x.png') => {
      const { body: media } = await stack.upload(ann, body, `?filename=${name}`)
      return refusal(stack.port.publishImage({ mediaId: media.id, userId: by.userId }))
    }
    expect(await publish(PNG)).toBe('done')
    for (const format of ['gif', 'jpeg', 'webp'] as const) {
      expect(await publish(await picture().toFormat(format).toBuffer())).toBe('done')
    }
    expect(await publish(PNG, bob)).toBe('404 media.notFound')
    expect(await refusal(stack.port.publishImage({ mediaId: newId(), userId: ann.userId }))).toBe('404 media.notFound')
    const notAnImage = '422 media.notAnImage'
    expect(await publish('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', ann, 'x.svg')).toBe(notAnImage)
    expect(await publish('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')).toBe(notAnImage)
    expect(await publish('words')).toBe(notAnImage)
    expect(await publish(padded('%PDF-1.7\n', 100))).toBe(notAnImage)
    expect(await publish(await picture().tiff().toBuffer())).toBe(notAnImage)
    expect(await publish(padded('GIF89a', 100))).toBe(notAnImage)
    const large = { width: 1400, height: 1300 }
    expect(await publish(await picture(large).png({ compressionLevel: 0 }).toBuffer())).toBe('422 media.imageTooLarge')
    // What counts is what is shown: nothing after a picture's end.
    expect(await publish(padded(PNG, 5 * 1024 * 1024))).toBe('done')
  })

  test('published and deleted at once ends as one of the two', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    for (let round = 0; round < 10; round += 1) {
      const { body: picture } = await stack.upload(ann, PNG)
      const [published, removed] = await Promise.all([
        refusal(stack.port.publishImage({ mediaId: picture.id, userId: ann.userId })),
        stack.json('DELETE', `/v1/media/${picture.id}`, ann),
      ])
      const exists = (await stack.json('GET', `/v1/media/${picture.id}`, ann)).status === 200
      expect([published, removed.status, exists]).toEqual(
        published === 'done' ? ['done', 409, true] : ['404 media.notFound', 204, false],
      )
    }
  })

  test('goes with its account, but for one that the server shows', async () => {
    await using stack = await startMessaging()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const [{ body: avatar }, { body: icon }] = [await stack.upload(ann, PNG), await stack.upload(ann, PNG)]
    await stack.port.publishImage({ mediaId: avatar.id, userId: ann.userId, holder: `user:${ann.userId}` })
    await stack.port.publishImage({ mediaId: icon.id, userId: ann.userId })
    await stack.port.userDeleted({ userId: ann.userId, messages: 'keep' })
    expect(await sees(stack, avatar.id, bob)).toEqual([404, 404])
    expect(await sees(stack, icon.id, bob)).toEqual([200, 200])
    await stack.port.withdrawImage({ mediaId: icon.id })
    await eventually(async () => (await stack.files()).length === 0)
    expect(await stack.sql`select id from media`).toEqual([] as never)
    expect(await audited(stack, 'media.deleted')).toHaveLength(2)
  })
})

import { expect, test } from 'bun:test'
import type { ExportedMessage, Media } from '@conntext/contracts'
import { forbid, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

async function writtenBy(stack: Stack, { userId }: Member) {
  const found: ExportedMessage[] = []
  let pages = 0
  let page = await stack.port.writtenBy({ userId })
  for (;;) {
    found.push(...page.items)
    pages += 1
    if (page.next === null) return { found, pages }
    page = await stack.port.writtenBy({ userId, after: page.next })
  }
}

async function filesOf(stack: Stack, { userId }: Member): Promise<Media[]> {
  const first = await stack.port.filesOf({ userId })
  const rest = first.next === null ? undefined : await stack.port.filesOf({ userId, after: first.next })
  return [...first.items, ...(rest?.items ?? [])]
}

test('somebody’s own words are had wherever they wrote, page by page, and nobody else’s', async () => {
  await using stack = await startMessaging()
  const { channel, base, alice, bob, say } = await room(stack)
  const other = await stack.authority.channel({ name: 'other' })
  for (const [index, at] of [channel.id, other.id].entries()) {
    await stack.sql`insert into streams (name, last_seq) values (${`channel:${at}`}, 2000)`
    await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
      select gen_random_uuid(), ${at}, (array[${alice.userId}::uuid, ${bob.userId}::uuid])[1 + n % 2], n,
        case when n % 2 = 0 then 'mine ' else 'of another ' end || ${index}::int || ' ' || n, now()
      from generate_series(1, 2000) n`
  }
  const dm = await stack.json<{ id: string }>('POST', '/v1/dms', alice, { userIds: [bob.userId] })
  await stack.send(dm.body.id, alice, { content: 'mine among two' })
  await stack.send(dm.body.id, bob, { content: 'of another among two' })
  const { body: file } = await stack.upload(alice, 'bytes', '?filename=mine.txt')
  const { body: loose } = await stack.upload(alice, 'other bytes')
  await stack.upload(bob, 'not hers')
  const quoted = await say(bob, 'of another, quoted')
  const reply = await stack.send(channel.id, alice, {
    content: 'mine to that',
    replyTo: quoted.id,
    mediaIds: [file.id],
  })
  await stack.json('PATCH', `${base}/${reply.body.id}`, alice, { content: 'mine, edited' })
  const deleted = await say(alice, 'mine no more')
  await stack.json('DELETE', `${base}/${deleted.id}`, alice)
  // They are theirs also where they may no longer look.
  await forbid(stack, 'channel.view')

  const { found, pages } = await writtenBy(stack, alice)
  expect(found).toHaveLength(2002)
  expect(pages).toBe(11)
  expect(new Set(found.map(({ id }) => id)).size).toBe(2002)
  expect(found.filter(({ content }) => !content.startsWith('mine'))).toEqual([])
  expect(new Set(found.map(({ channelId }) => channelId))).toEqual(new Set([channel.id, other.id, dm.body.id]))
  expect(JSON.stringify(found)).not.toContain('another')
  expect(JSON.stringify(found)).not.toContain('no more')
  expect(found.find(({ id }) => id === reply.body.id)).toEqual({
    id: reply.body.id,
    channelId: channel.id,
    type: 'default',
    content: 'mine, edited',
    replyTo: quoted.id,
    mediaIds: [file.id],
    createdAt: reply.body.createdAt,
    editedAt: expect.any(String),
  })
  expect((await filesOf(stack, alice)).map(({ id, filename }) => [id, filename])).toEqual([
    [file.id, 'mine.txt'],
    [loose.id, 'file'],
  ])
})

import { describe, expect, test } from 'bun:test'
import type { BulkDeleted, MessageRevision, Page } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { assertGapless, audited, forbid, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const revisions = async (stack: Stack, path: string, member: Member, query = '') =>
  (await stack.json<Page<MessageRevision>>('GET', `${path}/revisions${query}`, member)).body

describe('revisions', () => {
  test('keep what a message said, the latest first, for whoever may read the channel', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, say, outcome, read } = await room(stack)
    const sent = await say(alice, 'zero')
    const path = `${base}/${sent.id}`
    expect((await revisions(stack, path, bob)).items).toEqual([])
    for (const content of ['one', 'two', 'two', 'three']) await stack.json('PATCH', path, alice, { content })
    const { items } = await revisions(stack, path, bob)
    expect(items.map(({ revision, content }) => [revision, content])).toEqual([
      [2, 'two'],
      [1, 'one'],
      [0, 'zero'],
    ])
    expect(items[2]!.writtenAt).toBe(sent.createdAt)
    expect((await read(bob, sent.id)).revision).toBe(3)
    const first = await revisions(stack, path, bob, '?limit=2')
    const second = await revisions(stack, path, bob, `?limit=2&cursor=${first.nextCursor}`)
    expect([...first.items, ...second.items]).toEqual(items)
    expect(second.nextCursor).toBeNull()
    for (const cursor of ['x', Buffer.from('99999999999999').toString('base64url')]) {
      expect(await outcome('GET', `${path}/revisions?cursor=${cursor}`, bob)).toMatch(/^(200|422)/)
    }
    expect(await outcome('GET', `${base}/${newId()}/revisions`, bob)).toBe('404 message.notFound')
    expect(await outcome('GET', `${path}/revisions`)).toBe('401 access.unauthenticated')
    await forbid(stack, 'message.history')
    expect(await outcome('GET', `${path}/revisions`, bob)).toBe('403 access.forbidden')
  })

  test('are the last fifty; deletion takes all of them, from the log as well', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, bob, say, outcome } = await room(stack)
    const { id } = await say(alice, 'secret 0')
    for (let n = 1; n <= 53; n += 1) await stack.json('PATCH', `${base}/${id}`, alice, { content: `secret ${n}` })
    // So far behind that no edit's event is where its time would have it.
    await stack.sql`update stream_events set at = at + interval '1 day'`
    const { items } = await revisions(stack, `${base}/${id}`, alice, '?limit=100')
    expect([items.length, items[0]!.content, items.at(-1)!.content]).toEqual([50, 'secret 52', 'secret 3'])
    expect(await outcome('DELETE', `${base}/${id}`, alice)).toBe('204')
    expect(await outcome('GET', `${base}/${id}/revisions`, bob)).toBe('404 message.notFound')
    expect(await stack.sql`select 1 from message_revisions`).toHaveLength(0)
    const log = JSON.stringify(await stack.sql`select frame from stream_events`)
    expect(log).not.toContain('secret')
    await assertGapless(stack, channel.id)
  })

  test('written at once by one author leave each of them with a number of its own', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, say, read } = await room(stack)
    const { id } = await say(alice, 'a')
    const edits = [...'bcdefg']
    await Promise.all(edits.map((content) => stack.json('PATCH', `${base}/${id}`, alice, { content })))
    const { items } = await revisions(stack, `${base}/${id}`, alice)
    const now = await read(alice, id)
    expect(now.revision).toBe(6)
    expect([...items.map(({ content }) => content), now.content].sort()).toEqual(['a', ...edits])
    await assertGapless(stack, channel.id)
  })

  test('of a message that was edited before they were kept: its words go from the log too', async () => {
    await using stack = await startMessaging()
    const { base, alice, say } = await room(stack)
    const { id } = await say(alice, 'secret one')
    await stack.json('PATCH', `${base}/${id}`, alice, { content: 'secret two' })
    await stack.sql`delete from message_revisions`
    await stack.sql`update messages set edited_seq = null, revision = 0`
    await stack.json('DELETE', `${base}/${id}`, alice)
    expect(JSON.stringify(await stack.sql`select frame from stream_events`)).not.toContain('secret')
  })
})

describe('several at once', () => {
  test('are deleted like each by itself, in one go, and audited once with their number', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, bob, moderator, say, outcome, events } = await room(stack)
    const kept = await say(alice, 'kept')
    const gone = [await say(alice, 'secret a'), await say(bob, 'secret b'), await say(bob, 'secret c')]
    await stack.json('PATCH', `${base}/${gone[1]!.id}`, bob, { content: 'secret d' })
    await outcome('PUT', `${base}/${gone[0]!.id}/reactions/${encodeURIComponent('👍')}`, bob)
    const { body: file } = await stack.upload(alice, 'secret file')
    const carried = (await stack.send(channel.id, alice, { content: 'secret e', mediaIds: [file.id] })).body
    const elsewhere = await stack.send((await stack.authority.channel({ name: 'other' })).id, alice, { content: 'x' })
    const messageIds = [...gone, carried].map(({ id }) => id)
    const path = `${base}/bulk-delete`
    expect(await outcome('POST', path, alice, { messageIds })).toBe('403 access.forbidden')
    const asked = { messageIds: [...messageIds, newId(), elsewhere.body.id] }
    const { status, body } = await stack.json<BulkDeleted>('POST', path, moderator, asked)
    expect([status, body]).toEqual([200, { deleted: 4 }])
    const told = events.filter(({ t }) => t === 'message.deleted').map(({ d }) => d)
    expect(told).toEqual([...gone, carried].map(({ id, seq }) => ({ id, channelId: channel.id, seq })))
    const { items } = (await stack.history(channel.id, alice)).body
    expect(items.map(({ id }) => id)).toEqual([kept.id])
    const log = JSON.stringify(await stack.sql`select frame from stream_events`)
    expect(log).not.toContain('secret')
    for (const table of ['message_reactions', 'message_revisions', 'message_media', 'media']) {
      expect(await stack.sql`select 1 from ${stack.sql(table)}`).toHaveLength(0)
    }
    const again = await stack.json<BulkDeleted>('POST', path, moderator, asked)
    expect(again.body).toEqual({ deleted: 0 })
    const records = await audited(stack, 'messages.bulkDeleted')
    expect(records.map(({ target, data }) => [target!.id, data])).toEqual([[channel.id, { count: 4, messageIds }]])
    await assertGapless(stack, channel.id)
  })

  test('by two moderators at once are each deleted once', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, moderator, say, events } = await room(stack)
    const ids: string[] = []
    for (let n = 0; n < 20; n += 1) ids.push((await say(alice, `${n}`)).id)
    const ask = (messageIds: string[]) =>
      stack.json<BulkDeleted>('POST', `${base}/bulk-delete`, moderator, { messageIds })
    const answers = await Promise.all([ask(ids.slice(0, 15)), ask(ids.slice(5))])
    expect(answers.map(({ body }) => body.deleted).reduce((a, b) => a + b)).toBe(20)
    expect(events.filter(({ t }) => t === 'message.deleted')).toHaveLength(20)
    await assertGapless(stack, channel.id)
  })

  test('malformed: none, too many, twice the same, no ids, unknown fields', async () => {
    await using stack = await startMessaging()
    const { base, alice, moderator, say, outcome } = await room(stack)
    const { id } = await say(alice, 'x')
    const many = Array.from({ length: 101 }, () => newId())
    for (const body of [
      {},
      { messageIds: [] },
      { messageIds: many },
      { messageIds: [id, id] },
      { messageIds: ['x'] },
    ]) {
      expect(await outcome('POST', `${base}/bulk-delete`, moderator, body)).toBe('422 request.invalid')
    }
    const extra = { messageIds: [id], force: true }
    expect(await outcome('POST', `${base}/bulk-delete`, moderator, extra)).toBe('422 request.invalid')
    expect(await outcome('POST', `${base}/bulk-delete`, undefined, { messageIds: [id] })).toBe(
      '401 access.unauthenticated',
    )
  })
})

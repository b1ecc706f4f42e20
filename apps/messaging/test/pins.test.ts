import { describe, expect, test } from 'bun:test'
import type { Message, Page } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { assertGapless, audited, forbid, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const pin = (base: string, id: string) => `${base}/${id}/pin`

const pins = async (stack: Stack, channelId: string, member: Member, query = '') =>
  (await stack.json<Page<Message>>('GET', `/v1/channels/${channelId}/pins${query}`, member)).body

describe('a pin', () => {
  test('is listed, told, announced by a message of the server, and audited', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, bob, moderator, events, say, read, outcome } = await room(stack)
    const one = await say(alice, 'the rules')
    const two = await say(bob, 'more rules')
    expect(await outcome('PUT', pin(base, one.id), moderator)).toBe('204')
    expect(await outcome('PUT', pin(base, one.id), moderator)).toBe('204')
    await outcome('PUT', pin(base, two.id), moderator)
    const [pinned, announced] = events.slice(2)
    const { pinnedAt } = await read(alice, one.id)
    expect(pinned).toMatchObject({ t: 'message.pinned', seq: 3, d: { id: one.id, channelId: channel.id, pinnedAt } })
    expect(announced).toMatchObject({
      t: 'message.created',
      seq: 4,
      d: {
        type: 'pinned',
        content: '',
        authorId: moderator.userId,
        replyTo: one.id,
        replyPreview: { id: one.id, authorId: alice.userId, excerpt: 'the rules', deleted: false },
      },
    })
    const history = await stack.history(channel.id, bob)
    expect(history.body.items.map(({ type, seq }) => [type, seq])).toEqual([
      ['default', 1],
      ['default', 2],
      ['pinned', 4],
      ['pinned', 6],
    ])
    expect(history.body.items[2]).toEqual((announced as { d: Message }).d)
    expect((await pins(stack, channel.id, bob)).items.map(({ id }) => id)).toEqual([two.id, one.id])
    const first = await pins(stack, channel.id, bob, '?limit=1')
    const second = await pins(stack, channel.id, bob, `?limit=1&cursor=${first.nextCursor}`)
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual([two.id, one.id])
    expect(second.nextCursor).toBeNull()
    expect(await outcome('DELETE', pin(base, one.id), moderator)).toBe('204')
    expect(await outcome('DELETE', pin(base, one.id), moderator)).toBe('204')
    expect(events.at(-1)).toMatchObject({ t: 'message.unpinned', seq: 7, d: { id: one.id, channelId: channel.id } })
    expect((await pins(stack, channel.id, bob)).items.map(({ id }) => id)).toEqual([two.id])
    expect((await read(bob, one.id)).pinnedAt).toBeNull()
    expect((await audited(stack, 'message.pinned')).map(({ target }) => target!.id)).toEqual([one.id, two.id])
    expect((await audited(stack, 'message.unpinned')).map(({ target }) => target!.id)).toEqual([one.id])
    await assertGapless(stack, channel.id)
  })

  test('fiftieth and fifty-first at once: one is taken', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, moderator, say, outcome } = await room(stack)
    const sent: Message[] = []
    for (let i = 0; i < 52; i += 1) sent.push(await say(alice, `${i}`))
    await stack.sql`update messages set pinned_at = now() where seq < 50`
    const outcomes = await Promise.all(sent.slice(49).map(({ id }) => outcome('PUT', pin(base, id), moderator)))
    expect(outcomes.sort()).toEqual(['204', '409 pin.tooMany', '409 pin.tooMany'])
    const { items, nextCursor } = await pins(stack, channel.id, alice)
    expect([items.length, nextCursor]).toEqual([50, null])
    // With the message that is deleted its pin goes, and there is room again.
    await outcome('DELETE', `${base}/${sent[0]!.id}`, alice)
    expect((await pins(stack, channel.id, alice)).items).toHaveLength(49)
    const unpinned = sent.slice(49).find(({ id }) => !items.some((item) => item.id === id))!
    expect(await outcome('PUT', pin(base, unpinned.id), moderator)).toBe('204')
  })

  test('is refused: no permission, no message, of what the server says; and so is changing that', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, moderator, say, outcome } = await room(stack)
    const { id } = await say(alice, 'the rules')
    expect(await outcome('PUT', pin(base, id), alice)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', pin(base, id), alice)).toBe('403 access.forbidden')
    expect(await outcome('PUT', pin(base, id))).toBe('401 access.unauthenticated')
    expect(await outcome('PUT', pin(base, newId()), moderator)).toBe('404 message.notFound')
    expect(await outcome('PUT', pin(`/v1/channels/${newId()}/messages`, id), moderator)).toBe('404 channel.notFound')
    await outcome('PUT', pin(base, id), moderator)
    const said = (await stack.history(channel.id, alice)).body.items.at(-1)!
    expect(await outcome('PUT', pin(base, said.id), moderator)).toBe('409 message.fromTheServer')
    expect(await outcome('PATCH', `${base}/${said.id}`, moderator, { content: 'x' })).toBe('409 message.fromTheServer')
    const other = await stack.authority.member({ permissions: ['message.pin'] })
    await stack.sql`update messages set author_id = ${other.userId} where id = ${said.id}`
    expect(await outcome('DELETE', `${base}/${said.id}`, other)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', `${base}/${said.id}`, moderator)).toBe('204')
    for (const cursor of ['x', 'MTIz']) {
      expect(await outcome('GET', `/v1/channels/${channel.id}/pins?cursor=${cursor}`, alice)).toBe(
        '422 request.invalid',
      )
    }
    await forbid(stack, 'message.history')
    expect(await outcome('GET', `/v1/channels/${channel.id}/pins`, alice)).toBe('403 access.forbidden')
  })

  test('and the deletion of its message at once leave no pin, whichever comes first', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, moderator, say, outcome } = await room(stack)
    for (let round = 0; round < 5; round += 1) {
      const { id } = await say(alice, 'the rules')
      const [pinned] = await Promise.all([
        outcome('PUT', pin(base, id), moderator),
        outcome('DELETE', `${base}/${id}`, alice),
      ])
      expect(['204', '404 message.notFound']).toContain(pinned)
    }
    expect((await pins(stack, channel.id, alice)).items).toEqual([])
    const frames = await stack.sql`select frame from stream_events`
    expect(JSON.stringify(frames)).not.toContain('the rules')
    await assertGapless(stack, channel.id)
  })
})

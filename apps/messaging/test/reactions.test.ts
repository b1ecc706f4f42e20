import { describe, expect, test } from 'bun:test'
import type { Message, Page, Reactor } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { assertGapless, audited, forbid, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const at = (base: string, id: string, emoji: string) => `${base}/${id}/reactions/${encodeURIComponent(emoji)}`

const EMOJI = [...'😀😁😂😃😄😅😆😇😈😉😊😋😌😍😎😏😐😑😒😓😔😕']

const reactors = async (stack: Stack, path: string, member: Member) =>
  (await stack.json<Page<Reactor>>('GET', path, member)).body

describe('a reaction', () => {
  test('is counted, told with its count and a number of its own, and shown to its owner as theirs', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, events, say, read, outcome, channel } = await room(stack)
    const { id } = await say(alice, 'hello')
    expect(await outcome('PUT', at(base, id, '👍'), alice)).toBe('204')
    expect(await outcome('PUT', at(base, id, '🎉'), bob)).toBe('204')
    expect(await outcome('PUT', at(base, id, '👍'), bob)).toBe('204')
    const reactions = [
      { emoji: '👍', count: 2 },
      { emoji: '🎉', count: 1 },
    ]
    expect(await read(alice, id)).toMatchObject({ reactions, myReactions: ['👍'] })
    expect(await read(bob, id)).toMatchObject({ reactions, myReactions: ['👍', '🎉'] })
    const page = await stack.history(channel.id, bob)
    expect(page.body.items[0]).toMatchObject({ reactions, myReactions: ['👍', '🎉'] })
    expect(events.slice(1).map(({ t, seq, d }) => [t, seq, d])).toEqual([
      ['reaction.added', 2, { messageId: id, channelId: channel.id, userId: alice.userId, emoji: '👍', count: 1 }],
      ['reaction.added', 3, { messageId: id, channelId: channel.id, userId: bob.userId, emoji: '🎉', count: 1 }],
      ['reaction.added', 4, { messageId: id, channelId: channel.id, userId: bob.userId, emoji: '👍', count: 2 }],
    ])
    const edited = await stack.json<Message>('PATCH', `${base}/${id}`, alice, { content: 'hello!' })
    expect(edited.body.reactions).toEqual(reactions)
    expect(events.at(-1)!.d).toEqual(edited.body)
    expect(edited.body).not.toHaveProperty('myReactions')
  })

  test('given twice or taken back twice happens once', async () => {
    await using stack = await startMessaging()
    const { base, alice, events, say, read, outcome, channel } = await room(stack)
    const { id } = await say(alice, 'hello')
    for (const method of ['PUT', 'PUT', 'DELETE', 'DELETE']) {
      expect(await outcome(method, at(base, id, '👍'), alice)).toBe('204')
    }
    expect(events.map(({ t }) => t)).toEqual(['message.created', 'reaction.added', 'reaction.removed'])
    expect(events.at(-1)!.d).toMatchObject({ emoji: '👍', count: 0 })
    expect((await read(alice, id)).reactions).toEqual([])
    await Promise.all(Array.from({ length: 10 }, () => outcome('PUT', at(base, id, '👍'), alice)))
    expect((await read(alice, id)).reactions).toEqual([{ emoji: '👍', count: 1 }])
    expect(await stack.sql`select 1 from message_reactions`).toHaveLength(1)
    await assertGapless(stack, channel.id)
  })

  test('is any one emoji, in one way to write it; anything else is refused', async () => {
    await using stack = await startMessaging()
    const { base, alice, say, read, outcome } = await room(stack)
    const { id } = await say(alice, 'hello')
    for (const emoji of ['👨‍👩‍👧‍👦', '👍🏽', '🇩🇪', '1️⃣', '#️⃣', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '❤', '❤️', '☺']) {
      expect(await outcome('PUT', at(base, id, emoji), alice)).toBe('204')
    }
    expect((await read(alice, id)).reactions.map(({ emoji }) => emoji)).toEqual([
      '👨‍👩‍👧‍👦',
      '👍🏽',
      '🇩🇪',
      '1️⃣',
      '#️⃣',
      '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
      '❤️',
      '☺️',
    ])
    for (const text of ['a', '1', '👍👍', '👍a', ' 👍', '🇩', '\0', '👍\0', '\u200D', 'é', ':smile:']) {
      expect(`${text} ${await outcome('PUT', at(base, id, text), alice)}`).toBe(`${text} 422 reaction.notAnEmoji`)
    }
    expect(await outcome('PUT', at(base, id, 'x'.repeat(65)), alice)).toBe('422 request.invalid')
    // Half a surrogate pair, as bytes that no UTF-8 has; and an escape that is none.
    for (const raw of ['%ED%A0%BD', '%FF', '%', '%zz']) {
      expect(await outcome('PUT', `${base}/${id}/reactions/${raw}`, alice)).toMatch(/^4(00|04|22) /)
    }
  })

  test('of the twentieth and the twenty-first emoji at once, one is taken; more people with the same always', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, say, read, outcome } = await room(stack)
    const { id } = await say(alice, 'hello')
    for (const emoji of EMOJI.slice(0, 19)) await outcome('PUT', at(base, id, emoji), alice)
    const outcomes = await Promise.all([
      outcome('PUT', at(base, id, EMOJI[19]!), alice),
      outcome('PUT', at(base, id, EMOJI[20]!), bob),
      outcome('PUT', at(base, id, EMOJI[21]!), bob),
    ])
    expect(outcomes.sort()).toEqual(['204', '409 reaction.tooMany', '409 reaction.tooMany'])
    expect((await read(alice, id)).reactions).toHaveLength(20)
    expect(await outcome('PUT', at(base, id, EMOJI[0]!), bob)).toBe('204')
    expect((await read(bob, id)).reactions[0]).toEqual({ emoji: EMOJI[0]!, count: 2 })
    await outcome('DELETE', at(base, id, EMOJI[5]!), alice)
    expect(await outcome('PUT', at(base, id, EMOJI[21]!), bob)).toBe('204')
  })

  test('counts right whoever comes and goes at once', async () => {
    await using stack = await startMessaging()
    const { base, alice, say, read, channel } = await room(stack)
    const { id } = await say(alice, 'hello')
    const people = await Promise.all(Array.from({ length: 12 }, () => stack.authority.member()))
    await Promise.all(
      people.map(async (member, index) => {
        await stack.json('PUT', at(base, id, '👍'), member)
        await stack.json('PUT', at(base, id, '👎'), member)
        if (index % 3 === 0) await stack.json('DELETE', at(base, id, '👎'), member)
      }),
    )
    const counts = new Map((await read(alice, id)).reactions.map(({ emoji, count }) => [emoji, count]))
    expect([counts.get('👍'), counts.get('👎')]).toEqual([12, 8])
    await assertGapless(stack, channel.id)
  })

  test('and the deletion of its message at once leave nothing behind, whichever comes first', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, say, outcome, channel } = await room(stack)
    for (let round = 0; round < 10; round += 1) {
      const { id } = await say(alice, 'hello')
      await outcome('PUT', at(base, id, '🎉'), alice)
      const [reacted, deleted] = await Promise.all([
        outcome('PUT', at(base, id, '👍'), bob),
        outcome('DELETE', `${base}/${id}`, alice),
      ])
      expect(['204', '404 message.notFound']).toContain(reacted)
      expect(deleted).toBe('204')
    }
    expect(await stack.sql`select 1 from message_reactions`).toHaveLength(0)
    expect(await stack.sql`select 1 from message_reaction_counts`).toHaveLength(0)
    await assertGapless(stack, channel.id)
  })

  test('is refused: no permission, no message, unauthenticated, an API token for other things', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, say, outcome } = await room(stack)
    const { id } = await say(alice, 'hello')
    expect(await outcome('PUT', at(base, newId(), '👍'), alice)).toBe('404 message.notFound')
    expect(await outcome('DELETE', at(base, newId(), '👍'), alice)).toBe('404 message.notFound')
    expect(await outcome('PUT', at(base, id, '👍'))).toBe('401 access.unauthenticated')
    expect(await outcome('PUT', at(`/v1/channels/${newId()}/messages`, id, '👍'), alice)).toBe('404 channel.notFound')
    const other = await stack.authority.channel({ name: 'other' })
    expect(await outcome('PUT', at(`/v1/channels/${other.id}/messages`, id, '👍'), alice)).toBe('404 message.notFound')
    await outcome('PUT', at(base, id, '👍'), alice)
    const token = { ...alice, ...stack.authority.apiToken(alice.userId, ['channel.view']) }
    expect(await outcome('DELETE', at(base, id, '👍'), token)).toBe('403 access.forbidden')
    await forbid(stack, 'reaction.add')
    expect(await outcome('PUT', at(base, id, '👍'), bob)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', at(base, id, '👍'), alice)).toBe('204')
  })
})

describe('who reacted', () => {
  test('is paged, and no secret to who may read the channel', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, moderator, say, outcome } = await room(stack)
    const { id } = await say(alice, 'hello')
    for (const member of [moderator, alice, bob]) await outcome('PUT', at(base, id, '👍'), member)
    const path = at(base, id, '👍')
    const first = await reactors(stack, `${path}?limit=2`, alice)
    const second = await reactors(stack, `${path}?limit=2&cursor=${first.nextCursor}`, alice)
    const found = [...first.items, ...second.items].map(({ userId }) => userId)
    expect(found).toEqual([alice.userId, bob.userId, moderator.userId].sort())
    expect([first.items.length, second.nextCursor]).toEqual([2, null])
    expect((await reactors(stack, at(base, id, '👎'), alice)).items).toEqual([])
    expect(await outcome('GET', `${path}?cursor=x`, alice)).toBe('422 request.invalid')
    expect(await outcome('GET', at(base, newId(), '👍'), alice)).toBe('404 message.notFound')
    expect(await outcome('GET', at(base, id, 'x'), alice)).toBe('422 reaction.notAnEmoji')
    await forbid(stack, 'message.history')
    expect(await outcome('GET', path, alice)).toBe('403 access.forbidden')
  })
})

describe('a moderator', () => {
  test('takes away one reaction or all of them; that is told and audited', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, moderator, say, read, outcome, events, channel } = await room(stack)
    const { id } = await say(alice, 'hello')
    for (const member of [alice, bob])
      for (const emoji of ['👍', '👎']) await outcome('PUT', at(base, id, emoji), member)
    const others = `${at(base, id, '👍')}/${alice.userId}`
    expect(await outcome('DELETE', others, bob)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', others, moderator)).toBe('204')
    expect(await outcome('DELETE', others, moderator)).toBe('204')
    expect(events.at(-1)).toMatchObject({ t: 'reaction.removed', d: { userId: alice.userId, emoji: '👍', count: 1 } })
    expect(await outcome('DELETE', `${base}/${id}/reactions`, bob)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', `${base}/${id}/reactions`, moderator)).toBe('204')
    expect(await outcome('DELETE', `${base}/${id}/reactions`, moderator)).toBe('204')
    expect(events.at(-1)).toMatchObject({ t: 'reaction.cleared', seq: 7, d: { messageId: id, channelId: channel.id } })
    expect((await read(bob, id)).reactions).toEqual([])
    const [removed] = await audited(stack, 'reaction.removedByModerator')
    expect(removed).toMatchObject({ target: { id }, data: { channelId: channel.id, userId: alice.userId } })
    const cleared = await audited(stack, 'reactions.clearedByModerator')
    expect(cleared.map(({ data }) => data)).toEqual([{ channelId: channel.id, count: 3 }])
  })
})

test('ten thousand people react: the message, its page and the next reaction are as quick as ever', async () => {
  await using stack = await startMessaging()
  const { base, alice, bob, say, read, outcome, channel } = await room(stack)
  const { id } = await say(alice, 'hello')
  await outcome('PUT', at(base, id, '👍'), bob)
  await stack.sql`insert into message_reactions (message_id, emoji, user_id)
    select ${id}, '👍', gen_random_uuid() from generate_series(1, 9999)`
  await stack.sql`update message_reaction_counts set count = 10000`
  const began = performance.now()
  expect((await read(bob, id)).reactions).toEqual([{ emoji: '👍', count: 10_000 }])
  await stack.history(channel.id, bob)
  await outcome('PUT', at(base, id, '👍'), alice)
  await outcome('PUT', at(base, id, '🎉'), alice)
  expect(await reactors(stack, `${at(base, id, '👍')}?limit=100`, bob)).toMatchObject({
    nextCursor: expect.any(String),
  })
  expect(performance.now() - began).toBeLessThan(10_000)
  expect((await read(alice, id)).myReactions).toEqual(['👍', '🎉'])
  const gone = await outcome('DELETE', `${base}/${id}`, alice)
  expect([gone, (await stack.sql`select 1 from message_reactions`).length]).toEqual(['204', 0])
})

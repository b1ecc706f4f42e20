import { describe, expect, test } from 'bun:test'
import type { Mentions, Message } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { parseMentions } from '../src/mentions/parse.ts'
import { forbid, room } from './room.ts'
import { startMessaging } from './stack.ts'

const NOBODY: Mentions = { userIds: [], roleIds: [], everyone: false }

describe('the words', () => {
  const id = newId()
  const user = `<@${id}>`

  test.each([
    [`hello ${user}`, { userIds: [id] }],
    [`${user}${user}`, { userIds: [id] }],
    [`<@&${id}>`, { roleIds: [id] }],
    ['@everyone', { everyone: true }],
    ['(@here)', { everyone: true }],
    ['@everyone!', { everyone: true }],
    ['hey@everyone.example', {}],
    ['@everyones', {}],
    ['@@everyone', {}],
    [`\\${user} \\@here`, {}],
    [`\\\\${user}`, { userIds: [id] }],
    [`\`${user}\` and \`@everyone\``, {}],
    [`\`\`\`\n${user}\n\`\`\` @here`, { everyone: true }],
    [`\`\`\` never closed ${user}`, { userIds: [id] }],
    [`<@${id.toUpperCase()}>`, {}],
    [`<@${id}`, {}],
    ['<@>', {}],
  ])('%p', (text, expected) => {
    expect(parseMentions(text)).toEqual({ ...NOBODY, ...expected })
  })

  test('of a hostile text are found in no time, and at most fifty', () => {
    const began = performance.now()
    for (const part of ['@', '`', '```', '`@', '<@', '<@&', '\\', '```\n@everyone', user]) {
      parseMentions(part.repeat(Math.ceil(64_000 / part.length)))
    }
    expect(performance.now() - began).toBeLessThan(500)
    const many = Array.from({ length: 60 }, () => `<@${newId()}>`).join(' ')
    expect(parseMentions(many).userIds).toHaveLength(50)
  })
})

describe('a message calls', () => {
  test('members who are there, and nobody else', async () => {
    await using stack = await startMessaging()
    const { alice, bob, say, read, events } = await room(stack)
    const gone = await stack.authority.member()
    await stack.authority.setGrant(gone.userId, { standing: 'left' })
    const sent = await say(alice, `<@${bob.userId}> <@${gone.userId}> <@${newId()}>`)
    expect(sent.mentions).toEqual({ ...NOBODY, userIds: [bob.userId] })
    expect((events.at(-1) as { d: Message }).d).toEqual(sent)
    expect((await read(bob, sent.id)).mentions).toEqual(sent.mentions)
    const rows = await stack.sql`select target_id from message_mentions`
    expect(rows.map((row) => row.target_id)).toEqual([bob.userId])
  })

  test('everyone and roles only where its author may, in that channel', async () => {
    await using stack = await startMessaging()
    const { channel, alice, moderator, say } = await room(stack)
    const { roles, overrides } = stack.authority.snapshot
    const [everyone, role] = [roles[0]!, roles.find(({ isEveryone }) => !isEveryone)!]
    const words = `@everyone <@&${role.id}> <@&${newId()}>`
    expect((await say(alice, words)).mentions).toEqual(NOBODY)
    expect((await say(moderator, words)).mentions).toEqual({ userIds: [], roleIds: [role.id], everyone: true })
    expect((await say(moderator, `<@&${everyone.id}>`)).mentions).toEqual({ ...NOBODY, everyone: true })
    const target = { channelId: channel.id, targetKind: 'member' as const, targetId: alice.userId }
    overrides.push({ ...target, allow: ['message.mentionEveryone'], deny: [] })
    await stack.authority.changed()
    expect((await say(alice, '@here')).mentions).toEqual({ ...NOBODY, everyone: true })
    const token = { ...alice, ...stack.authority.apiToken(alice.userId, ['channel.view', 'message.send']) }
    expect((await say(token, '@here')).mentions).toEqual(NOBODY)
  })

  test('other people after an edit, but nobody anew; and nobody once it is deleted', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, moderator, say, read } = await room(stack)
    const { id } = await say(alice, `<@${bob.userId}> look`)
    const edit = async (content: string) =>
      (await stack.json<Message>('PATCH', `${base}/${id}`, alice, { content })).body.mentions
    expect(await edit(`<@${bob.userId}> <@${moderator.userId}> look`)).toEqual({
      ...NOBODY,
      userIds: [bob.userId, moderator.userId],
    })
    const targets = async () => (await stack.sql`select target_id from message_mentions`).map((row) => row.target_id)
    expect(await targets()).toEqual([bob.userId])
    expect(await edit(`<@${moderator.userId}> look`)).toEqual({ ...NOBODY, userIds: [moderator.userId] })
    expect(await targets()).toEqual([])
    expect(await edit('look')).toEqual(NOBODY)
    expect((await read(bob, id)).mentions).toEqual(NOBODY)
    const other = await say(alice, `<@${bob.userId}> secret`)
    await stack.json('DELETE', `${base}/${other.id}`, alice)
    expect(await targets()).toEqual([])
    expect(JSON.stringify(await stack.sql`select frame from stream_events where seq >= ${other.seq}`)).not.toContain(
      bob.userId,
    )
  })

  test('in a channel that is deleted leave nothing behind', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, base, say } = await room(stack)
    const { id } = await say(alice, `<@${bob.userId}>`)
    await stack.json('PUT', `${base}/${id}/reactions/${encodeURIComponent('👍')}`, bob)
    await stack.json('PATCH', `${base}/${id}`, alice, { content: 'x' })
    await stack.json('PUT', `/v1/channels/${channel.id}/read`, bob, { seq: 1 })
    await say(alice, `<@${bob.userId}>`)
    await stack.port.channelDeleted({ channelId: channel.id })
    const tables = ['messages', 'message_mentions', 'message_reactions', 'message_reaction_counts', 'message_revisions']
    for (const table of [...tables, 'read_states', 'streams']) {
      expect(await stack.sql`select 1 from ${stack.sql(table)}`).toHaveLength(0)
    }
  })
})

describe('a reply', () => {
  test('shows the first 200 characters of what it replies to: as that is when it is read', async () => {
    await using stack = await startMessaging()
    const { base, channel, alice, bob, say, read, events } = await room(stack)
    const parent = await say(alice, '🎉'.repeat(150) + 'é'.repeat(150))
    const reply = await say(bob, 'indeed', parent.id)
    const excerpt = '🎉'.repeat(150) + 'é'.repeat(50)
    expect(reply.replyPreview).toEqual({ id: parent.id, authorId: alice.userId, seq: 1, excerpt, deleted: false })
    expect((events.at(-1) as { d: Message }).d).toEqual(reply)
    expect(await read(alice, reply.id)).toEqual(reply)
    await stack.json('PATCH', `${base}/${parent.id}`, alice, { content: 'shorter' })
    expect((await read(alice, reply.id)).replyPreview!.excerpt).toBe('shorter')
    await stack.json('DELETE', `${base}/${parent.id}`, alice)
    const preview = { id: parent.id, authorId: alice.userId, seq: 1, excerpt: '', deleted: true }
    expect((await stack.history(channel.id, bob)).body.items[0]).toMatchObject({
      replyTo: parent.id,
      replyPreview: preview,
    })
    expect((await read(bob, parent.id)) as unknown).toMatchObject({ code: 'message.notFound' })
  })

  test('does not keep the words of what was deleted, whatever they were, nor lose its own', async () => {
    await using stack = await startMessaging()
    const { base, alice, bob, say } = await room(stack)
    const nasty = 'secret ","deleted":false} \\" \\\\ {"replyPreview":{"id":"x"}} \n\u2028 \\'
    const parent = await say(alice, nasty)
    const reply = await say(
      bob,
      `"replyPreview":{"id":"${parent.id}","authorId":"","excerpt":"mine","deleted":false}`,
      parent.id,
    )
    await stack.json('PATCH', `${base}/${reply.id}`, bob, { content: 'mine' })
    await say(bob, 'another', reply.id)
    await stack.json('DELETE', `${base}/${parent.id}`, alice)
    const frames = (await stack.sql`select seq::int, frame from stream_events order by seq`).map((row) => ({
      seq: row.seq as number,
      d: JSON.parse(row.frame).d as Message,
    }))
    expect(JSON.stringify(frames)).not.toContain('secret')
    const gone = { id: parent.id, authorId: alice.userId, seq: 1, excerpt: '', deleted: true }
    expect(frames[1]!.d).toEqual({ ...reply, replyPreview: gone })
    expect(frames[2]!.d).toMatchObject({ id: reply.id, content: 'mine', replyPreview: gone })
    expect(frames[3]!.d.replyPreview).toEqual({
      id: reply.id,
      authorId: bob.userId,
      seq: 2,
      excerpt: 'mine',
      deleted: false,
    })
  })

  test('to a reply to a reply, sixty deep, shows one level and stays quick', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say } = await room(stack)
    let last = await say(alice, '0')
    for (let depth = 1; depth <= 60; depth += 1) last = await say(bob, `${depth}`, last.id)
    const page = await stack.history(channel.id, alice, '?limit=60')
    expect(page.body.items).toHaveLength(60)
    for (const { content, replyPreview } of page.body.items) {
      expect(replyPreview!.excerpt).toBe(String(Number(content) - 1))
      expect(JSON.stringify(replyPreview).length).toBeLessThan(300)
    }
  })
})

test('who may read but not call everyone is not told apart by the answer', async () => {
  await using stack = await startMessaging()
  const { alice, base, say, outcome } = await room(stack)
  const { id } = await say(alice, 'x')
  expect(await outcome('PATCH', `${base}/${id}`, alice, { content: '@everyone' })).toBe('200')
  await forbid(stack, 'message.send')
  expect(await outcome('PATCH', `${base}/${id}`, alice, { content: 'y' })).toBe('403 access.forbidden')
})

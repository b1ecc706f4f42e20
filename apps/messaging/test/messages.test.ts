import { describe, expect, test } from 'bun:test'
import { channelStream, decodeNews, type EventFrame, type Message, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { type Member, type Stack, startMessaging } from './stack.ts'

const path = (channelId: string, messageId: string) => `/v1/channels/${channelId}/messages/${messageId}`

async function fixture(stack: Stack) {
  const channel = await stack.authority.channel()
  const [alice, bob] = [await stack.authority.member(), await stack.authority.member()]
  const events: EventFrame[] = []
  await stack.bus.subscribe(subjects.stream(channelStream(channel.id)), (news) =>
    events.push(JSON.parse(decodeNews(news).frame)),
  )
  return { channel, alice, bob, events }
}

/** `count` messages, numbered from 1 in their words as in their stream. */
async function fill(stack: Stack, channelId: string, member: Member, count: number): Promise<Message[]> {
  const sent: Message[] = []
  for (let number = 1; number <= count; number += 1) {
    sent.push((await stack.send(channelId, member, { content: `${number}` })).body)
  }
  return sent
}

describe('history', () => {
  test('pages before, after and around a number or an id, always ascending, and says what lies beyond', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await fixture(stack)
    const sent = await fill(stack, channel.id, alice, 10)
    const id = (seq: number) => sent[seq - 1]!.id
    const page = async (query: string) => {
      const { status, body } = await stack.history(channel.id, alice, query)
      expect(status).toBe(200)
      return [body.items.map((item) => item.seq), body.hasMoreBefore, body.hasMoreAfter]
    }
    expect(await page('')).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false])
    expect(await page('?limit=3')).toEqual([[8, 9, 10], true, false])
    expect(await page('?limit=3&before=8')).toEqual([[5, 6, 7], true, true])
    expect(await page(`?limit=3&before=${id(8)}`)).toEqual([[5, 6, 7], true, true])
    expect(await page('?limit=3&before=4')).toEqual([[1, 2, 3], false, true])
    expect(await page('?limit=3&before=1')).toEqual([[], false, true])
    expect(await page('?limit=3&before=0')).toEqual([[], false, true])
    expect(await page('?limit=3&before=999999999999999')).toEqual([[8, 9, 10], true, false])
    expect(await page('?limit=3&after=3')).toEqual([[4, 5, 6], true, true])
    expect(await page(`?limit=3&after=${id(7)}`)).toEqual([[8, 9, 10], true, false])
    expect(await page('?limit=3&after=0')).toEqual([[1, 2, 3], false, true])
    expect(await page('?limit=3&after=10')).toEqual([[], true, false])
    expect(await page('?limit=4&around=5')).toEqual([[3, 4, 5, 6], true, true])
    expect(await page(`?limit=5&around=${id(5)}`)).toEqual([[3, 4, 5, 6, 7], true, true])
    expect(await page('?limit=1&around=5')).toEqual([[5], true, true])
    expect(await page('?limit=4&around=1')).toEqual([[1, 2], false, true])
    expect(await page('?limit=4&around=10')).toEqual([[8, 9, 10], true, false])
    expect(await page('?limit=100&around=5')).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false])
  })

  test('leaves out the deleted, but pages from where one was', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await fixture(stack)
    const sent = await fill(stack, channel.id, alice, 5)
    for (const seq of [1, 3]) await stack.json('DELETE', path(channel.id, sent[seq - 1]!.id), alice)
    const { body } = await stack.history(channel.id, alice)
    expect(body.items.map((item) => item.seq)).toEqual([2, 4, 5])
    const after = await stack.history(channel.id, alice, `?after=${sent[2]!.id}&limit=1`)
    expect(after.body.items.map((item) => item.seq)).toEqual([4])
    const first = await stack.history(channel.id, alice, '?before=3')
    expect([first.body.items.map((item) => item.seq), first.body.hasMoreBefore]).toEqual([[2], false])
  })

  test('is refused: malformed, ambiguous, unknown, without the permission, invisible, unauthenticated', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await fixture(stack)
    const other = await stack.authority.channel({ name: 'other' })
    const [elsewhere] = await fill(stack, other.id, alice, 1)
    const outcome = async (query: string, channelId = channel.id, member?: Member) => {
      const { status, body } = await stack.history(channelId, member ?? alice, query)
      return `${status} ${(body as { code?: string }).code}`
    }
    for (const query of ['?limit=0', '?limit=101', '?limit=x', '?before=-1', '?before=abc', '?unknown=1']) {
      expect(await outcome(query)).toBe('422 request.invalid')
    }
    expect(await outcome('?before=1&after=2')).toBe('422 message.ambiguousPosition')
    expect(await outcome(`?around=${newId()}`)).toBe('404 message.notFound')
    expect(await outcome(`?around=${elsewhere!.id}`)).toBe('404 message.notFound')
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = everyone.permissions.filter((name) => name !== 'message.history')
    await stack.authority.changed()
    expect(await outcome('')).toBe('403 access.forbidden')
    expect((await stack.json('GET', path(other.id, elsewhere!.id), alice)).status).toBe(403)
    everyone.permissions = []
    await stack.authority.changed()
    expect(await outcome('')).toBe('404 channel.notFound')
    const anonymous = await stack.json('GET', `/v1/channels/${channel.id}/messages`)
    expect(anonymous.status).toBe(401)
  })
})

describe('one message', () => {
  test('is read by its id in its channel alone', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob } = await fixture(stack)
    const other = await stack.authority.channel({ name: 'other' })
    const [sent] = await fill(stack, channel.id, alice, 1)
    expect((await stack.json<Message>('GET', path(channel.id, sent!.id), bob)).body).toEqual(sent!)
    for (const wrong of [path(other.id, sent!.id), path(channel.id, newId())]) {
      const { status, body } = await stack.json<object>('GET', wrong, bob)
      expect([status, body.code]).toEqual([404, 'message.notFound'])
    }
    expect((await stack.json('GET', path(channel.id, 'not-an-id'), bob)).status).toBe(422)
    expect((await stack.json('GET', path(channel.id, sent!.id))).status).toBe(401)
  })

  test('is edited by its author alone; the event carries the whole message under a number of its own', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, events } = await fixture(stack)
    const [sent] = await fill(stack, channel.id, alice, 1)
    const edited = await stack.json<Message>('PATCH', path(channel.id, sent!.id), alice, { content: ' better ' })
    expect(edited.status).toBe(200)
    expect(edited.body).toEqual({ ...sent!, content: ' better ', editedAt: expect.any(String), revision: 1 })
    expect(events.at(-1)).toMatchObject({ t: 'message.edited', seq: 2, d: edited.body, at: edited.body.editedAt })
    const same = await stack.json<Message>('PATCH', path(channel.id, sent!.id), alice, { content: ' better ' })
    expect(same.body).toEqual(edited.body)
    expect(events).toHaveLength(2)

    const outcome = async (member: Member | undefined, id: string, body: unknown) => {
      const answer = await stack.json<object>('PATCH', path(channel.id, id), member, body)
      return `${answer.status} ${answer.body.code}`
    }
    expect(await outcome(bob, sent!.id, { content: 'x' })).toBe('403 message.notAuthor')
    expect(await outcome(undefined, sent!.id, { content: 'x' })).toBe('401 access.unauthenticated')
    expect(await outcome(alice, newId(), { content: 'x' })).toBe('404 message.notFound')
    expect(await outcome(alice, sent!.id, { content: '' })).toBe('422 message.empty')
    expect(await outcome(alice, sent!.id, { content: 'a\0' })).toBe('422 message.unstorable')
    expect(await outcome(alice, sent!.id, { content: 'a'.repeat(4001) })).toBe('422 message.tooLong')
    expect(await outcome(alice, sent!.id, { content: 'x', seq: 9 })).toBe('422 request.invalid')
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = everyone.permissions.filter((name) => name !== 'message.send')
    await stack.authority.changed()
    expect(await outcome(alice, sent!.id, { content: 'x' })).toBe('403 access.forbidden')
    expect(events).toHaveLength(2)
  })

  test('is deleted by its author; then it is gone for everybody, from the log as well', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, events } = await fixture(stack)
    const media = (await stack.upload(alice, 'a secret file')).body
    const secret = { content: 'secret "one"', mediaIds: [media.id] }
    const sent = (await stack.send(channel.id, alice, secret)).body
    await stack.json('PATCH', path(channel.id, sent.id), alice, { content: 'secret two' })
    const quoting = `,"d":{"id":"${sent.id}","channelId"`
    const neighbour = (await stack.send(channel.id, bob, { content: quoting })).body
    const deleted = await stack.request('DELETE', path(channel.id, sent.id), alice)
    expect([deleted.status, await deleted.text()]).toEqual([204, ''])
    expect(events.at(-1)).toMatchObject({
      t: 'message.deleted',
      seq: 4,
      d: { id: sent.id, channelId: channel.id, seq: 1 },
    })
    expect((await stack.json('GET', path(channel.id, sent.id), alice)).status).toBe(404)
    expect((await stack.json('DELETE', path(channel.id, sent.id), alice)).status).toBe(404)
    expect((await stack.json('PATCH', path(channel.id, sent.id), alice, { content: 'x' })).status).toBe(404)

    const log = await stack.port.streamEvents({ stream: channelStream(channel.id), after: 0, limit: 10 })
    const replayed = log.events.map((event) => JSON.parse(event.frame) as EventFrame)
    expect(JSON.stringify(replayed)).not.toContain('secret')
    expect(replayed.map((event) => [event.seq, event.t])).toEqual([
      [1, 'message.created'],
      [2, 'message.edited'],
      [3, 'message.created'],
      [4, 'message.deleted'],
    ])
    expect(replayed[0]!.d).toMatchObject({ id: sent.id, content: '', media: [] })
    expect(replayed[2]!.d).toEqual(neighbour)
    const [row] = await stack.sql`select content, deleted_at from messages where id = ${sent.id}`
    expect(row).toMatchObject({ content: '', deleted_at: expect.any(Date) })
  })

  test("somebody else's is deleted with message.manage alone, and that is audited with its reason", async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob } = await fixture(stack)
    const moderator = await stack.authority.member({ permissions: ['message.manage'] })
    const [first, second] = await fill(stack, channel.id, alice, 2)
    const refused = await stack.json<object>('DELETE', path(channel.id, first!.id), bob)
    expect([refused.status, refused.body.code]).toEqual([403, 'access.forbidden'])
    expect((await stack.json('DELETE', path(channel.id, first!.id))).status).toBe(401)
    const deleted = await stack.request('DELETE', path(channel.id, first!.id), moderator, {
      headers: { 'x-audit-reason': 'spam' },
    })
    expect(deleted.status).toBe(204)
    await stack.json('DELETE', path(channel.id, second!.id), alice)
    const event = await eventually(() => stack.audited.find((one) => one.action === 'message.deletedByModerator'))
    expect(event).toMatchObject({
      actor: { kind: 'user', id: moderator.userId, sessionId: moderator.sessionId },
      target: { kind: 'message', id: first!.id },
      data: { channelId: channel.id, authorId: alice.userId },
      reason: 'spam',
      severity: 'info',
    })
    await stack.service.stop()
    expect(stack.audited.filter((one) => one.action === 'message.deletedByModerator')).toHaveLength(1)
    expect(stack.audited.filter((one) => one.action === 'access.refused')).toHaveLength(1)
  })

  test('edited and deleted at once ends deleted, whichever came first, and the log agrees', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await fixture(stack)
    const sent = await fill(stack, channel.id, alice, 12)
    const outcomes = await Promise.all(
      sent.flatMap((message) => [
        stack.json('PATCH', path(channel.id, message.id), alice, { content: 'edited' }),
        stack.json('DELETE', path(channel.id, message.id), alice),
        stack.json('DELETE', path(channel.id, message.id), alice),
      ]),
    )
    const statuses = outcomes.map((answer) => answer.status)
    expect(statuses.filter((status) => status === 204)).toHaveLength(12)
    expect(new Set(statuses)).toEqual(new Set(statuses.includes(200) ? [200, 204, 404] : [204, 404]))
    expect((await stack.history(channel.id, alice)).body.items).toEqual([])
    const log = await stack.port.streamEvents({ stream: channelStream(channel.id), after: 0, limit: 100 })
    expect(log.events.map((event) => event.seq)).toEqual(log.events.map((_, index) => index + 1))
    const frames = log.events.map((event) => JSON.parse(event.frame) as EventFrame & { d: { id: string } })
    for (const { id } of sent) {
      const types = frames.filter((frame) => frame.d.id === id).map((frame) => frame.t)
      expect(types.at(-1)).toBe('message.deleted')
      expect(types.filter((type) => type === 'message.deleted')).toHaveLength(1)
    }
  })

  test('every mutation is published in the order of its number, also when word of the commits is overtaken', async () => {
    await using stack = await startMessaging()
    const { channel, alice, events } = await fixture(stack)
    const sent = await fill(stack, channel.id, alice, 10)
    await Promise.all([
      ...sent.map((message, index) =>
        index % 2
          ? stack.json('PATCH', path(channel.id, message.id), alice, { content: 'edited' })
          : stack.json('DELETE', path(channel.id, message.id), alice),
      ),
      ...Array.from({ length: 20 }, (_, index) => stack.send(channel.id, alice, { content: `more ${index}` })),
    ])
    expect(events.map((event) => event.seq!)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1))
  })
})

import { describe, expect, test } from 'bun:test'
import { channelStream, type EventFrame, type Message, type Page, type UnreadOverview } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { picture } from './picture-files.ts'
import { audited, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'
import { usage } from './tus.ts'

const DAY_MS = 24 * 60 * 60_000
const DAYS = 30

const keepFor = async (stack: Stack, channelId: string, days: number | null) => {
  stack.authority.snapshot.channels.find(({ id }) => id === channelId)!.messageRetentionDays = days
  await stack.authority.changed()
}

/** Another instance, on the same database, for which so many days have gone by. */
const instanceIn = (stack: Stack, days: number) =>
  createMessagingService({ ...stack.deps, clock: { now: () => new Date(Date.now() + days * DAY_MS) } })

const passes = (stack: Stack) => stack.audited.filter(({ action }) => action === 'messages.expired')

/** Lets so many days go by, until what is to go is gone. */
async function passDays(stack: Stack, days: number): Promise<void> {
  const before = passes(stack).length
  const later = await begin(stack, days, () => passes(stack).length > before)
  await later.stop()
}

/** An instance that has begun: one that comes while another is still looking leaves it to that one. */
async function begin(stack: Stack, days: number, hasBegun: () => boolean | Promise<boolean>) {
  for (;;) {
    const instance = instanceIn(stack, days)
    await instance.start()
    if (await eventually(hasBegun, 3_000).catch(() => false)) return instance
    await instance.stop()
  }
}

/** As if these had been sent only a week before the month is over, with what was told of them. */
async function makeYounger(stack: Stack, messages: Message[]): Promise<void> {
  const first = Math.min(...messages.map((message) => message.seq))
  await stack.sql`update messages set created_at = created_at + interval '23 days'
    where id = any(${messages.map((message) => message.id)})`
  await stack.sql`update stream_events set at = at + interval '23 days' where seq >= ${first}`
}

type Many = { channelId: string; authorId: string; count: number }

/** Messages in great number, written where sending them one by one would take long. */
async function writeMany(stack: Stack, { channelId, authorId, count }: Many) {
  const stream = channelStream(channelId)
  await stack.sql`insert into streams (name, last_seq) values (${stream}, ${count})
    on conflict (name) do update set last_seq = excluded.last_seq`
  await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
    select gen_random_uuid(), ${channelId}, ${authorId}, n, 'x', now() from generate_series(1, ${count}::int) n`
  await stack.sql`insert into stream_events (stream, seq, id, type, at, frame)
    select ${stream}, n, gen_random_uuid(), 'message.created', now(), '{}' from generate_series(1, ${count}::int) n`
}

const list = async (stack: Stack, channelId: string, reader: Member): Promise<Message[]> =>
  (await stack.history(channelId, reader, '?limit=100')).body.items

/** What the log still says of a channel. */
const told = async (stack: Stack, channelId: string): Promise<EventFrame[]> =>
  (await stack.sql`select frame from stream_events where stream = ${channelStream(channelId)} order by seq`).map(
    (row) => JSON.parse(row.frame),
  )

describe('messages that are older than their channel keeps them', () => {
  test('go with all that belongs to them; pinned and younger ones stay', async () => {
    await using stack = await startMessaging()
    const { channel, base, alice, bob, moderator, events, say, outcome, read } = await room(stack)
    await keepFor(stack, channel.id, DAYS)
    const other = await stack.authority.channel({ name: 'other' })
    await stack.send(other.id, alice, { content: 'elsewhere' })
    const { body: file } = await stack.upload(alice, await picture().png().toBuffer())
    const old = (await stack.send(channel.id, alice, { content: `secret <@${bob.userId}>`, mediaIds: [file.id] })).body
    await stack.json('PATCH', `${base}/${old.id}`, alice, { content: `secret again <@${bob.userId}>` })
    await stack.json('PUT', `${base}/${old.id}/reactions/${encodeURIComponent('🎉')}`, bob)
    const rules = await say(alice, 'the rules')
    await outcome('PUT', `${base}/${rules.id}/pin`, moderator)
    const gone = await say(bob, 'said too much')
    await outcome('DELETE', `${base}/${gone.id}`, bob)
    const young = [await say(bob, 'what secret?', old.id), await say(bob, 'agreed', rules.id)]
    await makeYounger(stack, young)
    await eventually(async () => (await stack.sql`select 1 from search_documents`).length === 5)
    await eventually(async () => (await stack.files()).length === 2)

    await passDays(stack, DAYS + 1)
    // The announcement of the pin went, the deleted one was gone before.
    expect(
      (await audited(stack, 'messages.expired')).map(({ target, data, actor }) => [target, data, actor.kind]),
    ).toEqual([[{ kind: 'channel', id: channel.id }, { messages: 2, files: 1 }, 'system']])
    expect(events.at(-1)).toMatchObject({
      t: 'messages.expired',
      d: { channelId: channel.id, before: gone.seq + 1, kept: [rules.id] },
    })
    expect(await list(stack, channel.id, bob)).toEqual([
      { ...rules, pinnedAt: expect.any(String) },
      { ...(await read(bob, young[0]!.id)), replyTo: old.id, replyPreview: null },
      { ...(await read(bob, young[1]!.id)), replyPreview: young[1]!.replyPreview },
    ])
    const pins = await stack.json<Page<Message>>('GET', `/v1/channels/${channel.id}/pins`, bob)
    expect(pins.body.items.map(({ id }) => id)).toEqual([rules.id])
    expect(await outcome('GET', `${base}/${old.id}`, bob)).toBe('404 message.notFound')
    expect((await stack.json<{ items: unknown[] }>('GET', '/v1/search?q=secret', bob)).body.items).toHaveLength(1)
    for (const table of ['message_revisions', 'message_reactions', 'message_mentions', 'message_media', 'media'])
      expect([table, ...(await stack.sql`select * from ${stack.sql(table)}`)]).toEqual([table])
    expect(await stack.sql`select id from messages where channel_id = ${channel.id}`).toHaveLength(3)
    await eventually(async () => (await stack.files()).length === 0)
    expect(await usage(stack, alice.userId)).toEqual([0, 0, 0])
    expect(JSON.stringify(await told(stack, channel.id))).not.toContain('secret again')
    expect(await list(stack, other.id, bob)).toHaveLength(1)
    // Of what is nobody's any more, nothing is unread.
    const { body } = await stack.json<UnreadOverview>('GET', '/v1/unread', alice)
    expect(body.items.find((one) => one.channelId === channel.id)).toMatchObject({ unread: 2, mentions: 0 })
  })

  test('are gone for whoever catches up from wherever they were, as for who looks now', async () => {
    await using stack = await startMessaging()
    const { channel, base, alice, bob, moderator, say, outcome } = await room(stack)
    await keepFor(stack, channel.id, DAYS)
    const one = await say(alice, 'one')
    const two = await say(bob, 'two', one.id)
    await outcome('PUT', `${base}/${two.id}/pin`, moderator)
    const three = await say(bob, 'three', two.id)
    const young = [await say(alice, 'four', three.id), await say(alice, 'five', two.id)]
    await outcome('DELETE', `${base}/${three.id}`, bob)
    await makeYounger(stack, young)
    const before = await told(stack, channel.id)
    await passDays(stack, DAYS + 1)
    const fresh = await list(stack, channel.id, bob)
    expect(fresh.map(({ content }) => content)).toEqual(['two', 'four', 'five'])
    const stream = channelStream(channel.id)
    const head = before.at(-1)!.seq! + 1
    let resets = 0
    for (let cursor = 0; cursor < head; cursor += 1) {
      const { events, truncated } = await stack.port.streamEvents({ stream, after: cursor, limit: 500 })
      // They are told to start anew: what is older than a month is not told again.
      if (truncated) resets += 1
      else
        expect(stateAfter([...before.slice(0, cursor), ...events.map(({ frame }) => JSON.parse(frame))])).toEqual(fresh)
    }
    expect(resets).toBe(young[0]!.seq - 1)
    // What was unpinned is like the others.
    await outcome('DELETE', `${base}/${two.id}/pin`, moderator)
    await passDays(stack, DAYS + 1)
    expect((await list(stack, channel.id, bob)).map(({ content }) => content)).toEqual(['four', 'five'])
    expect((await told(stack, channel.id)).at(-1)!.d).toEqual({ channelId: channel.id, before: two.seq + 1, kept: [] })
  })

  test('are deleted by one instance at a time, and audited once where one ends meanwhile', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await room(stack)
    const count = 2_000
    await keepFor(stack, channel.id, 1)
    await writeMany(stack, { channelId: channel.id, authorId: alice.userId, count })
    const left = async () => (await stack.sql`select count(*)::int as count from messages`)[0]!.count as number
    const ended = await begin(stack, 2, async () => (await left()) < count)
    await ended.stop()
    expect(passes(stack)).toEqual([])
    expect(await left()).toBeGreaterThan(0)
    const both = [instanceIn(stack, 2), instanceIn(stack, 2)]
    await Promise.all(both.map((one) => one.start()))
    await eventually(async () => (await left()) === 0, 60_000)
    await eventually(() => passes(stack).length > 0)
    await Promise.all(both.map((one) => one.stop()))
    expect((await audited(stack, 'messages.expired')).map(({ data }) => data)).toEqual([{ messages: count, files: 0 }])
    expect(await stack.sql`select * from message_expiries`).toHaveLength(0)
    const stream = await told(stack, channel.id)
    expect(stream.map(({ t }) => t)).toEqual(stream.map(() => 'messages.expired'))
    const places = stream.map(({ d }) => (d as { before: number }).before)
    expect(places).toEqual(places.toSorted((a, b) => a - b))
    expect(places.at(-1)).toBe(count + 1)
  })

  test('stay from the moment at which the channel keeps them again, and nobody waits for the others', async () => {
    await using stack = await startMessaging()
    const { channel, alice, say } = await room(stack)
    const count = 10_000
    await keepFor(stack, channel.id, 1)
    await writeMany(stack, { channelId: channel.id, authorId: alice.userId, count })
    const left = async () =>
      (await stack.sql`select count(*)::int as count from messages where content = 'x'`)[0]!.count as number
    const later = await begin(stack, 2, async () => (await left()) < count)
    let slowest = 0
    for (let sent = 0; sent < 20; sent += 1) {
      const began = performance.now()
      expect((await say(alice, `meanwhile ${sent}`)).content).toBe(`meanwhile ${sent}`)
      slowest = Math.max(slowest, performance.now() - began)
    }
    expect(slowest).toBeLessThan(10_000)
    await keepFor(stack, channel.id, null)
    await eventually(() => passes(stack).length === 1, 30_000)
    const kept = await left()
    expect(kept).toBeGreaterThan(0)
    expect(passes(stack)[0]!.data).toEqual({ messages: count - kept, files: 0 })
    await later.stop()
    expect(await left()).toBe(kept)
  })
})

/** What somebody has who began with nothing and was told this, as the documents say. */
function stateAfter(events: EventFrame[]): Message[] {
  const held = new Map<string, Message>()
  const change = (id: string, fields: Partial<Message>) => {
    const message = held.get(id)
    if (message) held.set(id, { ...message, ...fields })
  }
  for (const { t, d } of events as unknown as { t: string; d: never }[]) {
    const { id, before, kept, pinnedAt } = d as { id: string; before: number; kept: string[]; pinnedAt: string }
    if (t === 'message.created') held.set(id, d)
    if (t === 'message.pinned') change(id, { pinnedAt })
    if (t === 'message.unpinned') change(id, { pinnedAt: null })
    if (t === 'message.deleted') held.delete(id)
    if (t !== 'messages.expired') continue
    const isGone = (one: { id: string; seq: number }) => one.seq < before && !kept.includes(one.id)
    for (const message of [...held.values()]) {
      if (isGone(message)) held.delete(message.id)
      else if (message.replyPreview && isGone(message.replyPreview)) change(message.id, { replyPreview: null })
    }
  }
  const times = (message: Message) => ({ ...message, createdAt: expect.any(String) })
  return [...held.values()].sort((a, b) => a.seq - b.seq).map(times)
}

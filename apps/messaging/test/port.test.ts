import { describe, expect, test } from 'bun:test'
import { channelStream, decodeNews, type Media, type Message, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { onBehalf, startMessaging } from './stack.ts'

describe('sending through the port', () => {
  test('is the same as the POST: its nonce, its permission, its errors, its record of refusals', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const caller = onBehalf(alice)
    const message = { content: 'hello', nonce: 'n' }
    const [sent] = await stack.port.sendMessages({ caller, sends: [{ channelId: channel.id, message }] })
    expect((await stack.send(channel.id, alice, message)).body).toEqual((sent as { message: Message }).message)
    const code = async (channelId: string, content: string) => {
      const [outcome] = await stack.port.sendMessages({ caller, sends: [{ channelId, message: { content } }] })
      return 'problem' in outcome! ? `${outcome.problem.status} ${outcome.problem.code}` : 'sent'
    }
    expect(await code(channel.id, '')).toBe('422 message.empty')
    expect(await code(newId(), 'x')).toBe('404 channel.notFound')
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = everyone.permissions.filter((name) => name !== 'message.send')
    await stack.authority.changed()
    expect(await code(channel.id, 'x')).toBe('403 access.forbidden')
    const refused = await eventually(() => stack.audited.find((one) => one.action === 'access.refused'))
    expect(refused).toMatchObject({ actor: { id: alice.userId }, data: { permission: 'message.send' } })
    everyone.permissions = []
    await stack.authority.changed()
    expect(await code(channel.id, 'x')).toBe('404 channel.notFound')
  })

  test('keeps the order of what is sent together, and a fault of one is nobody else’s', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const { body: file } = await stack.upload(alice, 'a file')
    const contents = Array.from({ length: 60 }, (_, index) => (index === 7 ? '' : `number ${index}`))
    const sends = contents.map((content, index) => ({
      channelId: channel.id,
      // Files are looked at longer before a message is let through.
      message: { content, ...(index % 10 === 3 ? { mediaIds: [(file as Media).id] } : {}) },
    }))
    const outcomes = await stack.port.sendMessages({ caller: onBehalf(alice), sends })
    const told = outcomes.map((one) => ('message' in one ? one.message.content : one.problem.code))
    expect(told).toEqual(contents.map((content) => content || 'message.empty'))
    const seqs = outcomes.flatMap((one) => ('message' in one ? one.message.seq : []))
    expect(seqs).toEqual(Array.from({ length: 59 }, (_, index) => index + 1))
  })

  test('needs the service credential', async () => {
    await using stack = await startMessaging()
    const request = new Request('http://localhost/internal/messaging/health', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', 'x-conntext-service': 'guessed' },
    })
    expect((await stack.service.port.handle(request)).status).toBe(401)
  })
})

describe('streams', () => {
  test('tell where they stand and what somebody missed', async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel()]
    const alice = await stack.authority.member()
    for (let index = 0; index < 5; index += 1) await stack.send(one.id, alice, { content: `${index}` })
    const [stream, empty] = [channelStream(one.id), channelStream(other.id)]
    expect(await stack.port.streamHeads({ streams: [stream, empty] })).toEqual({ heads: { [stream]: 5, [empty]: 0 } })
    const { events, truncated } = await stack.port.streamEvents({ stream, after: 2, limit: 2 })
    expect([events.map((event) => event.seq), truncated]).toEqual([[3, 4], false])
    expect(await stack.port.streamEvents({ stream, after: 5, limit: 2 })).toEqual({ events: [], truncated: false })
  })

  test('take events of another service once, numbered among the messages, and publish them', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const stream = channelStream(channel.id)
    const heard: { seq: number; frame: string }[] = []
    await stack.bus.subscribe(subjects.stream(stream), (news) => heard.push(decodeNews(news)))
    await stack.send(channel.id, alice, { content: 'before' })
    const event = { id: newId(), stream, type: 'channel.updated', at: new Date().toISOString(), data: channel }
    const another = { ...event, id: newId(), type: 'role.updated' }
    await Promise.all([
      stack.port.appendEvents({ events: [event] }),
      stack.port.appendEvents({ events: [event, another] }),
      stack.send(channel.id, alice, { content: 'beside' }),
    ])
    await stack.port.appendEvents({ events: [another, event] })
    const log = await stack.port.streamEvents({ stream, after: 0, limit: 10 })
    expect(heard).toEqual(log.events)
    const frames = log.events.map((one) => JSON.parse(one.frame))
    expect(frames.map((frame) => frame.seq)).toEqual([1, 2, 3, 4])
    expect(frames.map((frame) => frame.t).sort()).toEqual([
      'channel.updated',
      'message.created',
      'message.created',
      'role.updated',
    ])
    expect(frames.find((frame) => frame.t === 'channel.updated')).toMatchObject({ stream, at: event.at, d: channel })
  })
})

describe('a deleted channel', () => {
  test('takes its messages, its stream and the media that nothing else carries along, however often it is told', async () => {
    await using stack = await startMessaging()
    const [gone, kept] = [await stack.authority.channel(), await stack.authority.channel()]
    const alice = await stack.authority.member()
    const upload = async (words: string) => (await stack.upload(alice, words)).body.id
    const [only, shared, loose] = [await upload('only here'), await upload('shared'), await upload('loose')]
    await stack.send(gone.id, alice, { content: 'x', mediaIds: [only, shared] })
    const survivor = await stack.send(kept.id, alice, { content: 'x', mediaIds: [shared] })
    // More than one chunk of each, written where sending them one by one would take long.
    await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
      select gen_random_uuid(), ${gone.id}, ${alice.userId}, n, 'x', now() from generate_series(2, 2500) n`
    await stack.sql`insert into stream_events (stream, seq, id, type, at, frame)
      select ${channelStream(gone.id)}, n, gen_random_uuid(), 'x', now(), '{}' from generate_series(2, 6000) n`
    await Promise.all([1, 2].map(() => stack.port.channelDeleted({ channelId: gone.id })))
    await stack.port.channelDeleted({ channelId: gone.id })
    await stack.port.channelDeleted({ channelId: newId() })
    expect((await stack.history(kept.id, alice)).body.items).toEqual([survivor.body])
    expect(await stack.sql`select distinct channel_id from messages`).toEqual([{ channel_id: kept.id }] as never)
    expect(await stack.sql`select name from streams`).toEqual([{ name: channelStream(kept.id) }] as never)
    expect(await stack.sql`select distinct stream from stream_events`).toHaveLength(1)
    const left = await stack.sql`select id from media order by id`
    expect(left.map((row) => row.id)).toEqual([shared, loose].sort())
    await eventually(async () => (await stack.files()).length === 2)
  })
})

describe('health', () => {
  test('tries the database and the object store', async () => {
    await using stack = await startMessaging()
    const healthy = await stack.port.health({})
    expect(healthy).toMatchObject({ service: 'messaging', state: 'up' })
    expect(healthy.dependencies.map((one) => one.name)).toEqual([
      'postgres',
      'object store',
      'thumbnails',
      'outbox',
      'bus',
      'clock',
    ])
    stack.objects.check = () => Promise.reject(new Error('read-only file system'))
    const degraded = await stack.port.health({})
    expect(degraded.state).toBe('degraded')
    expect(degraded.dependencies[1]).toMatchObject({ state: 'down', detail: 'read-only file system' })
    expect(degraded.dependencies[1]!.remedy).toBeTruthy()
  })
})

test('what is stored is told by its tables, its channels, and what lies there unused', async () => {
  await using stack = await startMessaging()
  const alice = await stack.authority.member()
  const [one, other] = [await stack.authority.channel(), await stack.authority.channel()]
  const upload = async (text: string) => (await stack.upload(alice, text)).body
  const [small, large] = [await upload('small'), await upload('x'.repeat(1_000))]
  await upload('never sent')
  await stack.send(one.id, alice, { content: 'a', mediaIds: [small.id] })
  await stack.send(other.id, alice, { content: 'b', mediaIds: [large.id] })
  const { bytes, tables, media } = await stack.port.storage({})
  const messages = tables.find(({ name }) => name === 'messages')!
  expect(messages.bytes).toBeGreaterThan(0)
  expect(bytes).toBeGreaterThan(tables.reduce((sum, table) => sum + table.bytes, 0))
  expect(media).toEqual({
    objects: 3,
    bytes: 1_015,
    channels: [
      { channelId: other.id, files: 1, bytes: 1_000 },
      { channelId: one.id, files: 1, bytes: 5 },
    ],
    conversations: { files: 0, bytes: 0 },
    unused: { files: 1, bytes: 10 },
  })
})

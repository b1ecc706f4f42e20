import { describe, expect, test } from 'bun:test'
import { channelStream, decodeNews, type EventFrame, type Message, messagingPort, subjects } from '@conntext/contracts'
import { callPort } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { Sender } from '../src/messages/send.ts'
import { createMessagingService } from '../src/service.ts'
import { forbid, room } from './room.ts'
import { onBehalf, recordingLogger, type Stack, startMessaging } from './stack.ts'

const POISON = 'a very private thing'

const frames = async (stack: Stack, channelId: string) => {
  const rows =
    await stack.sql`select seq, frame from stream_events where stream = ${channelStream(channelId)} order by seq`
  return rows.map((row) => JSON.parse(row.frame) as EventFrame & { d: Message })
}

describe('sending a message', () => {
  test('stores it, numbers it, logs its event and publishes the very same frame', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const heard: string[] = []
    await stack.bus.subscribe(subjects.stream(channelStream(channel.id)), (payload) => heard.push(payload))
    const sent = await stack.send(channel.id, alice, { content: 'hello', nonce: 'n1' })
    expect(sent.status).toBe(201)
    expect(sent.body).toEqual({
      id: expect.any(String),
      channelId: channel.id,
      authorId: alice.userId,
      type: 'default',
      content: 'hello',
      nonce: 'n1',
      seq: 1,
      replyTo: null,
      replyPreview: null,
      mentions: { userIds: [], roleIds: [], everyone: false },
      media: [],
      reactions: [],
      pinnedAt: null,
      createdAt: expect.any(String),
      editedAt: null,
      revision: 0,
    })
    const [event] = await frames(stack, channel.id)
    expect(event).toEqual({
      op: 'event',
      t: 'message.created',
      stream: channelStream(channel.id),
      seq: 1,
      at: sent.body.createdAt,
      d: sent.body,
    })
    const [row] = await stack.sql`select frame from stream_events`
    expect(heard.map(decodeNews)).toEqual([{ seq: 1, frame: row!.frame }])
  })

  test('a channel that is deleted while a message waits for its stream takes it no more', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const stream = channelStream(channel.id)
    await stack.send(channel.id, alice, { content: 'first' })
    const waiting = await stack.sql.begin(async (tx) => {
      await tx`select 1 from streams where name = ${stream} for update`
      const sending = stack.send(channel.id, alice, { content: 'second' })
      await eventually(async () => {
        const [row] = await stack.sql`select count(*)::int as waiting from pg_stat_activity
          where wait_event_type = 'Lock' and datname = current_database()`
        return row!.waiting > 0
      })
      stack.authority.snapshot.channels = []
      await stack.authority.changed()
      await tx`delete from messages`
      await tx`delete from stream_events`
      await tx`delete from streams`
      return { sending }
    })
    expect((await waiting.sending).status).toBe(404)
    expect(await stack.sql`select 1 from messages`).toHaveLength(0)
  })

  test('a reply names a living message of the same channel', async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel()]
    const alice = await stack.authority.member()
    const first = await stack.send(one.id, alice, { content: 'first' })
    const elsewhere = await stack.send(other.id, alice, { content: 'elsewhere' })
    const reply = await stack.send(one.id, alice, { content: 'reply', replyTo: first.body.id })
    expect(reply.body.replyTo).toBe(first.body.id)
    for (const replyTo of [elsewhere.body.id, newId()]) {
      const refused = await stack.send(one.id, alice, { content: 'x', replyTo })
      expect([refused.status, refused.body.code]).toEqual([422, 'message.replyNotFound'])
    }
    await stack.json('DELETE', `/v1/channels/${one.id}/messages/${first.body.id}`, alice)
    const late = await stack.send(one.id, alice, { content: 'x', replyTo: first.body.id })
    expect(late.body.code).toBe('message.replyNotFound')
    expect((await frames(stack, one.id)).map((frame) => frame.seq)).toEqual([1, 2, 3])
  })

  test('a reply shows what it quotes to nobody who may not read what was said before', async () => {
    await using stack = await startMessaging()
    const { channel, alice, bob, say, outcome, base } = await room(stack)
    const { id: replyTo } = await say(alice, POISON)
    const token = { ...bob, ...stack.authority.apiToken(bob.userId, ['channel.view', 'message.send']) }
    const reply = { content: 'what was that?', replyTo }
    expect(await outcome('POST', base, token, reply)).toBe('403 access.forbidden')
    expect(await outcome('POST', base, token, { content: 'hello' })).toBe('201')
    await forbid(stack, 'message.history')
    expect(await outcome('POST', base, bob, reply)).toBe('403 access.forbidden')
    const sends = [{ channelId: channel.id, message: reply }]
    const [sent] = await stack.port.sendMessages({ caller: onBehalf(bob), sends })
    expect(sent).toMatchObject({ problem: { code: 'access.forbidden' } })
  })

  test('whoever may no longer write when their picture is ready does not', async () => {
    await using stack = await startMessaging()
    const { channel, bob } = await room(stack)
    const caller = { ...onBehalf(bob), reason: null }
    const whenReady = async (settled: () => Promise<void>) => {
      const write = () => Promise.reject(new Error('nothing is stored here'))
      const sender = new Sender({ ...stack.deps, write, refused: () => {}, pictures: { settled } })
      const prepared = sender.prepare(caller, channel.id, { content: '', mediaIds: [newId()] })
      return prepared.then(
        () => 'goes on',
        (error: { code: string }) => error.code,
      )
    }
    expect(await whenReady(async () => {})).toBe('goes on')
    expect(await whenReady(() => forbid(stack, 'message.send'))).toBe('access.forbidden')
    expect(await whenReady(() => forbid(stack, 'channel.view'))).toBe('channel.notFound')
  })

  test('is refused where it can not be: unauthenticated, invisible, forbidden, no text channel, malformed', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const voice = await stack.authority.channel({ type: 'voice', name: 'talk' })
    const hidden = await stack.authority.channel({ name: 'hidden' })
    const quiet = await stack.authority.channel({ name: 'quiet' })
    const alice = await stack.authority.member()
    const everyone = stack.authority.snapshot.roles[0]!.id
    stack.authority.snapshot.overrides.push(
      { channelId: hidden.id, targetKind: 'role', targetId: everyone, allow: [], deny: ['channel.view'] },
      { channelId: quiet.id, targetKind: 'role', targetId: everyone, allow: [], deny: ['message.send'] },
    )
    await stack.authority.changed()
    const path = `/v1/channels/${channel.id}/messages`
    const outcome = async (answer: Promise<{ status: number; body: { code?: string } }>) => {
      const { status, body } = await answer
      return `${status} ${body.code}`
    }
    expect(await outcome(stack.json('POST', path, undefined, { content: 'x' }))).toBe('401 access.unauthenticated')
    expect(await outcome(stack.send(hidden.id, alice, { content: 'x' }))).toBe('404 channel.notFound')
    expect(await outcome(stack.send(newId(), alice, { content: 'x' }))).toBe('404 channel.notFound')
    expect(await outcome(stack.send(quiet.id, alice, { content: 'x' }))).toBe('403 access.forbidden')
    expect(await outcome(stack.send(voice.id, alice, { content: 'x' }))).toBe('409 message.notATextChannel')
    expect(await outcome(stack.send(channel.id, alice, { content: '' }))).toBe('422 message.empty')
    for (const body of [{}, { content: 1 }, { content: 'x', extra: 1 }, { content: 'x', nonce: '' }, []]) {
      expect(await outcome(stack.json('POST', path, alice, body))).toBe('422 request.invalid')
    }
    const garbled = await stack.request('POST', path, alice, {
      body: '{"content":',
      headers: { 'content-type': 'application/json' },
    })
    expect(garbled.status).toBe(400)
    expect(await stack.sql`select 1 from messages`).toHaveLength(0)
  })

  test('stops at once when the permission is taken away', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    expect((await stack.send(channel.id, alice, { content: 'x' })).status).toBe(201)
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = everyone.permissions.filter((name) => name !== 'message.send')
    await stack.authority.changed()
    expect((await stack.send(channel.id, alice, { content: 'x' })).status).toBe(403)
    await stack.authority.setGrant(alice.userId, { standing: 'banned' })
    expect((await stack.send(channel.id, alice, { content: 'x' })).status).toBe(401)
  })
})

describe('words are kept byte for byte', () => {
  const tricky = {
    'white space around': '  \n\tpadded \r\n ',
    'right to left': 'שלום ‏עולם مرحبا \u202Etxt.exe',
    'combining, not composed': 'e\u0301 vs \u00e9, A\u030A, \u1112\u1161\u11ab',
    'emoji joined': '👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽',
    'control characters': '\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f\u0085',
    'what breaks JSON': '"},"x":{"\\u0000\\" \u2028\u2029 </script> \'; drop table messages; --',
    'a frame within': '{"op":"event","d":{"id":"x","content":"y"}}',
    'looks like a date': '2026-01-01T00:00:00.000Z',
    'array literals': '{NULL,"a,b",\\}',
    null: 'NULL',
    'byte order mark': '\uFEFFbom',
    noncharacters: '\uFFFE\uFFFF\u{10FFFF}',
    '4000 astral code points': '𝔘'.repeat(4000),
  }

  test('in the answer, in the history, in the database and in the log', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    for (const [what, content] of Object.entries(tricky)) {
      const nonce = [...content].slice(0, 20).join('')
      const sent = await stack.send(channel.id, alice, { content, nonce })
      expect([what, sent.status, sent.body.content, sent.body.nonce]).toEqual([what, 201, content, nonce])
      expect((await stack.history(channel.id, alice)).body.items.at(-1)).toEqual(sent.body)
      const [row] = await stack.sql`select encode(convert_to(content, 'UTF8'), 'hex') as hex, frame from messages
        join stream_events using (id) where id = ${sent.body.id}`
      expect(row!.hex).toBe(Buffer.from(content).toString('hex'))
      expect(JSON.parse(row!.frame).d).toEqual(sent.body)
    }
  })

  test('what no UTF-8 or no Postgres can hold is refused, and says where', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    for (const content of ['a\u0000b', '\ud800', 'x\udc00y', '\udc00\ud800']) {
      const refused = await stack.send(channel.id, alice, { content })
      expect([refused.status, refused.body.code]).toEqual([422, 'message.unstorable'])
      expect(refused.body.errors![0]!.path).toBe('/body/content')
    }
    const nonce = await stack.send(channel.id, alice, { content: 'x', nonce: 'a\u0000' })
    expect(nonce.body.errors![0]!.path).toBe('/body/nonce')
  })

  test('the limit counts code points, and is the server setting of now', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const status = async (content: string) => (await stack.send(channel.id, alice, { content })).status
    expect([await status('a'.repeat(4000)), await status('a'.repeat(4001))]).toEqual([201, 422])
    expect([await status('😀'.repeat(4000)), await status('😀'.repeat(4001))]).toEqual([201, 422])
    stack.authority.snapshot.server.limits.maxMessageLength = 32_000
    await stack.authority.changed()
    expect([await status('😀'.repeat(32_000)), await status(`${'😀'.repeat(32_000)}a`)]).toEqual([201, 422])
    stack.authority.snapshot.server.limits.maxMessageLength = 3
    await stack.authority.changed()
    expect([await status('abc'), await status('abcd')]).toEqual([201, 422])
  })
})

describe('a nonce', () => {
  test('is answered for ever with what its first send made, as it is now', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const first = await stack.send(channel.id, alice, { content: 'one', nonce: 'n' })
    const again = await stack.send(channel.id, alice, { content: 'another', nonce: 'n' })
    expect([again.status, again.body]).toEqual([201, first.body])
    const path = `/v1/channels/${channel.id}/messages/${first.body.id}`
    await stack.json('PATCH', path, alice, { content: 'edited' })
    const edited = await stack.send(channel.id, alice, { content: 'one', nonce: 'n' })
    expect([edited.body.content, edited.body.seq]).toEqual(['edited', 1])
    await stack.json('DELETE', path, alice)
    const gone = await stack.send(channel.id, alice, { content: 'one', nonce: 'n' })
    expect([gone.status, gone.body.code]).toEqual([409, 'message.deleted'])
    expect((await frames(stack, channel.id)).map((frame) => frame.t)).toEqual([
      'message.created',
      'message.edited',
      'message.deleted',
    ])
  })

  test("is the author's own in the channel: another author's and another channel's are others", async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel()]
    const [alice, bob] = [await stack.authority.member(), await stack.authority.member()]
    const sent = await Promise.all([
      stack.send(one.id, alice, { content: 'x', nonce: 'n' }),
      stack.send(one.id, bob, { content: 'x', nonce: 'n' }),
      stack.send(other.id, alice, { content: 'x', nonce: 'n' }),
    ])
    expect(new Set(sent.map((answer) => answer.body.id)).size).toBe(3)
  })

  test('sent 50 times at once makes one message and one event', async () => {
    const { log, lines } = recordingLogger()
    await using stack = await startMessaging({ log })
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const heard: string[] = []
    await stack.bus.subscribe(subjects.stream(channelStream(channel.id)), (payload) => heard.push(payload))
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => stack.send(channel.id, alice, { content: `try ${index}`, nonce: 'n' })),
    )
    expect(new Set(answers.map((answer) => `${answer.status} ${JSON.stringify(answer.body)}`)).size).toBe(1)
    expect(answers[0]!.status).toBe(201)
    expect(await stack.sql`select 1 from messages`).toHaveLength(1)
    expect(await stack.sql`select 1 from stream_events`).toHaveLength(1)
    expect(heard).toHaveLength(1)
    expect(lines).toEqual([])
  })

  test('sent at once to two instances makes one message', async () => {
    await using stack = await startMessaging()
    const second = createMessagingService(stack.deps)
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const other = callPort(messagingPort, { transport: second.port.handle, credential: stack.deps.credential })
    const ids = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const port = index % 2 ? stack.port : other
        const message = { content: 'x', nonce: `n${Math.floor(index / 4)}` }
        const [sent] = await port.sendMessages({ caller: onBehalf(alice), sends: [{ channelId: channel.id, message }] })
        return (sent as { message: Message }).message.id
      }),
    )
    expect(new Set(ids).size).toBe(10)
    expect((await frames(stack, channel.id)).map((frame) => frame.seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    await second.stop()
  })
})

describe('many at once', () => {
  test('200 sends by several authors to two channels: gapless numbers, an event for each, published in order', async () => {
    await using stack = await startMessaging()
    const channels = [await stack.authority.channel(), await stack.authority.channel({ name: 'other' })]
    const authors = await Promise.all(Array.from({ length: 5 }, () => stack.authority.member()))
    const heard = new Map(channels.map((channel) => [channel.id, [] as number[]]))
    for (const { id } of channels) {
      await stack.bus.subscribe(subjects.stream(channelStream(id)), (news) => heard.get(id)!.push(decodeNews(news).seq))
    }
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        stack.send(channels[index % 2]!.id, authors[index % 5]!, { content: `message ${index}` }),
      ),
    )
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([201]))
    const expected = Array.from({ length: 100 }, (_, index) => index + 1)
    for (const { id } of channels) {
      const events = await frames(stack, id)
      expect(events.map((event) => event.seq!)).toEqual(expected)
      expect(heard.get(id)).toEqual(expected)
      const own = answers.filter((answer) => answer.body.channelId === id).map((answer) => answer.body)
      expect(events.map((event) => event.d)).toEqual(own.toSorted((a, b) => a.seq - b.seq))
    }
  })

  test("one author's sends that follow each other keep their order among everybody's", async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const authors = await Promise.all(Array.from({ length: 8 }, () => stack.authority.member()))
    const sequences = await Promise.all(
      authors.map(async (author) => {
        const seqs: number[] = []
        for (let index = 0; index < 10; index += 1) {
          seqs.push((await stack.send(channel.id, author, { content: `${index}` })).body.seq)
        }
        return seqs
      }),
    )
    for (const seqs of sequences) expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
    expect(sequences.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, index) => index + 1))
  })

  test('what is wrong with one is nobody else’s trouble', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [alice, bob] = [await stack.authority.member(), await stack.authority.member()]
    const foreign = (await stack.upload(bob, 'of bob')).body.id
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => {
        const bad = [{ replyTo: newId() }, { mediaIds: [foreign] }, { mediaIds: [newId()] }][index % 10]
        return stack.send(channel.id, alice, { content: `message ${index}`, ...bad })
      }),
    )
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(21)
    expect(answers.filter((answer) => answer.body.code === 'message.replyNotFound')).toHaveLength(3)
    expect(answers.filter((answer) => answer.body.code === 'message.mediaNotFound')).toHaveLength(6)
    expect((await frames(stack, channel.id)).map((frame) => frame.seq!)).toEqual(
      Array.from({ length: 21 }, (_, index) => index + 1),
    )
  })

  test('a batch that the database refuses is stored one by one, and only the culprit fails', async () => {
    const { log, lines } = recordingLogger()
    await using stack = await startMessaging({ log })
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    await stack.sql`alter table messages add constraint no_poison check (content not like 'a very%')`
    const contents = ['a', 'b', POISON, 'c', 'd']
    const answers = await Promise.all(contents.map((content) => stack.send(channel.id, alice, { content })))
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 500, 201, 201])
    const { items } = (await stack.history(channel.id, alice)).body
    expect(items.map((item) => item.seq)).toEqual([1, 2, 3, 4])
    expect(items.map((item) => item.content).sort()).toEqual(['a', 'b', 'c', 'd'])
    expect(lines.map((line) => [line.level, line.msg, line.err?.cause?.code, line.err?.cause?.constraint])).toEqual([
      ['warn', 'a batch of messages failed; storing them singly', '23514', 'no_poison'],
      ['error', 'a request failed', '23514', 'no_poison'],
    ])
    expect(JSON.stringify(lines)).not.toContain(POISON)
  })
})

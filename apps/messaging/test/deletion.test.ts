import { describe, expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import {
  type AuditActor,
  channelStream,
  decodeNews,
  type EventFrame,
  messagingPort,
  subjects,
} from '@conntext/contracts'
import { callPort, Guard } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const moderator: AuditActor = {
  kind: 'user',
  id: newId(),
  sessionId: newId(),
  address: '192.0.2.1',
  userAgent: 'a browser',
  requestId: 'a-request',
  reason: 'spam',
}

const BEGINNING = '2020-01-01T00:00:00.000Z'

const recorded = async (stack: Stack, action: string) => {
  await eventually(
    async () => (await stack.sql`select 1 from messaging_outbox where delivered_at is null`).length === 0,
  )
  return stack.audited.filter((event) => event.action === action)
}

const contents = async (stack: Stack, channelId: string, reader: Member) =>
  (await stack.history(channelId, reader, '?limit=100')).body.items.map((message) => message.content)

/** Messages of somebody in great number, written where sending them one by one would take long. */
async function writeMany(
  stack: Stack,
  { channelId, authorId, count }: { channelId: string; authorId: string; count: number },
) {
  await stack.sql`insert into streams (name, last_seq) values (${channelStream(channelId)}, ${count})`
  await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
    select gen_random_uuid(), ${channelId}, ${authorId}, n, 'x', now() from generate_series(1, ${count}) n`
  await stack.sql`insert into stream_events (stream, seq, id, type, at, frame)
    select ${channelStream(channelId)}, n, gen_random_uuid(), 'message.created', now(), '{}' from generate_series(1, ${count}) n`
}

describe('the recent messages of somebody who is banned', () => {
  test('go from every channel, as if each were deleted by itself; older ones and others’ stay', async () => {
    await using stack = await startMessaging()
    const [one, other] = [await stack.authority.channel(), await stack.authority.channel({ name: 'other' })]
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const old = await stack.send(one.id, ann, { content: 'an old one' })
    await stack.sql`update messages set created_at = now() - interval '2 days' where id = ${old.body.id}`
    const { body: file } = await stack.upload(ann, 'a file')
    const recent = await stack.send(one.id, ann, { content: 'a secret', mediaIds: [file.id], nonce: 'n' })
    await stack.send(one.id, bob, { content: 'by bob' })
    await stack.send(other.id, ann, { content: 'elsewhere' })
    const heard: EventFrame[] = []
    for (const { id } of [one, other]) {
      const listener = (news: string) => heard.push(JSON.parse(decodeNews(news).frame))
      await stack.bus.subscribe(subjects.stream(channelStream(id)), listener)
    }
    const since = new Date(Date.now() - 86_400_000).toISOString()
    await stack.port.deleteMessagesOf({ id: newId(), userId: ann.userId, since, actor: moderator })

    expect(await contents(stack, one.id, bob)).toEqual(['an old one', 'by bob'])
    expect(await contents(stack, other.id, bob)).toEqual([])
    await eventually(() => heard.length === 2)
    expect(heard.map(({ t, seq }) => [t, seq]).sort()).toEqual([
      ['message.deleted', 2],
      ['message.deleted', 4],
    ])
    expect(heard.find(({ seq }) => seq === 4)!.d).toEqual({ id: recent.body.id, channelId: one.id, seq: 2 })
    expect(JSON.stringify(await stack.sql`select frame from stream_events`)).not.toContain('a secret')
    expect((await stack.send(one.id, ann, { content: 'a secret', nonce: 'n' })).body.code).toBe('message.deleted')
    await eventually(async () => (await stack.files()).length === 0)
    expect(await recorded(stack, 'messages.deletedByModerator')).toMatchObject([
      {
        actor: { id: moderator.id },
        target: { kind: 'user', id: ann.userId },
        data: { since, count: 2 },
        reason: 'spam',
      },
    ])
    expect(await recorded(stack, 'media.deleted')).toMatchObject([
      { actor: { id: moderator.id }, target: { id: file.id }, data: { ownerId: ann.userId } },
    ])
  })

  test('go once for each call: a repeat deletes nothing that was written since, and records nothing', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const ann = await stack.authority.member()
    await stack.send(channel.id, ann, { content: 'one' })
    const call = { id: newId(), userId: ann.userId, since: BEGINNING, actor: moderator }
    await Promise.all([stack.port.deleteMessagesOf(call), stack.port.deleteMessagesOf(call)])
    await stack.send(channel.id, ann, { content: 'after the ban was lifted' })
    await stack.port.deleteMessagesOf(call)
    expect(await contents(stack, channel.id, ann)).toEqual(['after the ban was lifted'])
    expect(await recorded(stack, 'messages.deletedByModerator')).toMatchObject([{ data: { count: 1 } }])
    await stack.port.deleteMessagesOf({ ...call, id: newId() })
    expect(await contents(stack, channel.id, ann)).toEqual([])
    expect(await recorded(stack, 'messages.deletedByModerator')).toMatchObject([
      { data: { count: 1 } },
      { data: { count: 1 } },
    ])
  })

  test('are counted as a whole, and deleted to the end, however often it is interrupted', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    await writeMany(stack, { channelId: channel.id, authorId: ann.userId, count: 230 })
    const call = { id: newId(), userId: ann.userId, since: BEGINNING, actor: moderator }
    // Dies when it comes to a message, as often as there is one to die of.
    await stack.sql`create function die() returns trigger language plpgsql as $$ begin raise exception 'interrupted'; end $$`
    for (const seq of [70, 180]) {
      await stack.sql.unsafe(
        `create trigger die before update on messages for each row when (old.seq = ${seq}) execute function die()`,
      )
      await expect(stack.port.deleteMessagesOf(call)).rejects.toThrow()
      await stack.sql`drop trigger die on messages`
    }
    const [{ left } = { left: 0 }] =
      await stack.sql`select count(*)::int as left from messages where deleted_at is null`
    expect(left).toBe(80)
    expect(await recorded(stack, 'messages.deletedByModerator')).toEqual([])
    await stack.port.deleteMessagesOf(call)
    expect(await contents(stack, channel.id, bob)).toEqual([])
    expect(await recorded(stack, 'messages.deletedByModerator')).toMatchObject([{ data: { count: 230 } }])
    const deletions = await stack.sql`select seq from stream_events where type = 'message.deleted' order by seq`
    expect(deletions.map((row) => Number(row.seq))).toEqual(Array.from({ length: 230 }, (_, index) => 231 + index))
  })

  test('include what was on its way when they were banned', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const sends = Array.from({ length: 60 }, (_, index) => stack.send(channel.id, ann, { content: `${index}` }))
    await eventually(async () => (await stack.sql`select 1 from messages`).length > 0)
    await stack.authority.setGrant(ann.userId, { standing: 'banned' })
    await stack.port.deleteMessagesOf({ id: newId(), userId: ann.userId, since: BEGINNING, actor: moderator })
    await Promise.all(sends)
    expect(await contents(stack, channel.id, bob)).toEqual([])
  })

  test('include what had been admitted, and was not yet being stored, when they were banned', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel({ slowModeSeconds: 60 })
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    // Who may write is looked at before how long they have to wait.
    const lock = await stack.sql.reserve()
    await lock`begin`
    await lock`lock table slow_mode_sends in access exclusive mode`
    const sent = stack.send(channel.id, ann, { content: 'at the last moment' })
    const waits = async (statement: string) =>
      (
        await stack.sql`select from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database() and query like ${statement}`
      ).length > 0
    await eventually(() => waits('select%slow_mode_sends%'))
    await stack.authority.setGrant(ann.userId, { standing: 'banned' })
    const call = { id: newId(), userId: ann.userId, since: BEGINNING, actor: moderator }
    let isOver = false
    const deleted = stack.port.deleteMessagesOf(call).then(() => {
      isOver = true
    })
    await eventually(async () => isOver || (await waits('lock table%')))
    await lock`commit`
    lock.release()
    await Promise.all([sent, deleted])
    expect(await contents(stack, channel.id, bob)).toEqual([])
  })

  test('go once every instance has forgotten what the person could do', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    await stack.send(channel.id, ann, { content: 'before' })
    const heard = Promise.withResolvers<void>()
    const { announce } = stack.bus
    stack.bus.announce = async (subject, payload) => {
      await heard.promise
      return announce(subject, payload)
    }
    const deleted = stack.port.deleteMessagesOf({ id: newId(), userId: ann.userId, since: BEGINNING, actor: moderator })
    expect(await Promise.race([deleted.then(() => 'over'), Bun.sleep(100).then(() => 'waits')])).toBe('waits')
    expect(await contents(stack, channel.id, bob)).toEqual(['before'])
    heard.resolve()
    await deleted
    expect(await contents(stack, channel.id, bob)).toEqual([])
  })
})

describe('a deleted account', () => {
  test('leaves its messages where the person wished so; uploads that nothing carries go', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const [{ body: carried }, { body: loose }] = [await stack.upload(ann, 'carried'), await stack.upload(ann, 'loose')]
    const { body: others } = await stack.upload(bob, 'of bob')
    const kept = await stack.send(channel.id, ann, { content: 'kept', mediaIds: [carried.id] })
    for (const _ of [1, 2]) await stack.port.userDeleted({ userId: ann.userId, messages: 'keep' })
    expect((await stack.history(channel.id, bob)).body.items).toEqual([kept.body])
    const left = await stack.sql`select id from media`
    expect(left.map((row) => row.id).sort()).toEqual([carried.id, others.id].sort())
    await eventually(async () => (await stack.files()).length === 2)
    expect(await recorded(stack, 'media.deleted')).toMatchObject([
      { actor: { kind: 'user', id: ann.userId, address: null }, target: { id: loose.id } },
    ])
    expect(await recorded(stack, 'messages.deletedWithAccount')).toEqual([])
  })

  test('takes all its messages and files along where the person wished so, once and for all', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const { body: file } = await stack.upload(ann, 'a file')
    await stack.send(channel.id, ann, { content: 'with a file', mediaIds: [file.id] })
    await stack.send(channel.id, bob, { content: 'by bob' })
    await stack.send(channel.id, ann, { content: 'another' })
    await Promise.all([1, 2].map(() => stack.port.userDeleted({ userId: ann.userId, messages: 'delete' })))
    await stack.port.userDeleted({ userId: ann.userId, messages: 'delete' })
    expect(await contents(stack, channel.id, bob)).toEqual(['by bob'])
    await eventually(async () => (await stack.files()).length === 0)
    expect(await recorded(stack, 'messages.deletedWithAccount')).toMatchObject([
      { actor: { kind: 'user', id: ann.userId }, target: { kind: 'user', id: ann.userId }, data: { count: 2 } },
    ])
  })

  test('sends and uploads nothing more, also where an instance has not heard of it', async () => {
    // Its guard listens on a bus of its own: no news ever comes.
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const deafBus = createMemoryBus(silentLogger)
    const guard = new Guard({ auth: stack.authority.port, bus: deafBus, log: silentLogger })
    await guard.start()
    const deaf = createMessagingService({ ...stack.deps, guard, bus: deafBus })
    const post = (path: string, body: string, type: string, who: Member) =>
      deaf.app.handle(
        new Request(`http://localhost${path}`, {
          method: 'POST',
          body,
          headers: { authorization: `Bearer ${who.token}`, 'content-type': type },
        }),
      )
    const send = (who: Member, content: string) =>
      post(`/v1/channels/${channel.id}/messages`, JSON.stringify({ content }), 'application/json', who)
    expect((await send(ann, 'before')).status).toBe(201)
    await stack.authority.setGrant(ann.userId, { standing: 'deleted' })
    await stack.port.userDeleted({ userId: ann.userId, messages: 'delete' })
    const [late, beside] = await Promise.all([send(ann, 'late'), send(bob, 'beside')])
    expect([late.status, beside.status]).toEqual([401, 201])
    expect((await post('/v1/uploads', 'late', 'text/plain', ann)).status).toBe(401)
    expect(await contents(stack, channel.id, bob)).toEqual(['beside'])
    expect(await stack.sql`select 1 from media`).toHaveLength(0)
    expect(await stack.files()).toEqual([])
    await guard.stop()
  })

  const stored = [
    ['a message', 'messages', 'delete'],
    ['an upload', 'messaging_outbox', 'keep'],
  ] as const
  test.each(stored)('waits for %s that is being stored already, and then takes it along', async (what, table, wish) => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    // Its own row is written, and its transaction goes no further.
    await stack.sql`create function wait() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock(1); return null; end $$`
    await stack.sql.unsafe(`create trigger wait after insert on ${table} for each row execute function wait()`)
    const waiting = (locktype: string) =>
      eventually(async () => {
        const rows = await stack.sql`select 1 from pg_locks where not granted and locktype = ${locktype}
          and database = (select oid from pg_database where datname = current_database())`
        return rows.length > 0
      })
    const underWay = await stack.sql.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(1)`
      const storing =
        what === 'a message' ? stack.send(channel.id, ann, { content: 'late' }) : stack.upload(ann, 'late')
      await waiting('advisory')
      const deletion = stack.port.userDeleted({ userId: ann.userId, messages: wish })
      await waiting('relation')
      return { storing, deletion }
    })
    await underWay.deletion
    expect((await underWay.storing).status).toBe(201)
    expect(await contents(stack, channel.id, bob)).toEqual([])
    expect(await stack.sql`select 1 from media`).toHaveLength(0)
  })

  test('whose messages are still being sent has none left afterwards, whichever comes first', async () => {
    await using stack = await startMessaging()
    const channels = await Promise.all(
      Array.from({ length: 5 }, (_, index) => stack.authority.channel({ name: `c${index}` })),
    )
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    const other = createMessagingService(stack.deps)
    const port = callPort(messagingPort, { transport: other.port.handle, credential: stack.deps.credential })
    const sends = Array.from({ length: 100 }, (_, index) =>
      stack.send(channels[index % 5]!.id, index % 10 === 9 ? bob : ann, { content: `${index}` }),
    )
    await eventually(async () => (await stack.sql`select 1 from messages`).length > 0)
    // Nobody has told the guard: what is sent is refused by the database alone.
    await port.userDeleted({ userId: ann.userId, messages: 'delete' })
    const [now] =
      await stack.sql`select count(*)::int as living from messages where author_id = ${ann.userId} and deleted_at is null`
    expect(now!.living).toBe(0)
    const outcomes = await Promise.all(sends)
    const [after] =
      await stack.sql`select count(*)::int as living from messages where author_id = ${ann.userId} and deleted_at is null`
    expect(after!.living).toBe(0)
    // And nobody else pays for it.
    expect(outcomes.filter((_, index) => index % 10 === 9).map(({ status }) => status)).toEqual(Array(10).fill(201))
  })
})

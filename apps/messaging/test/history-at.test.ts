import { describe, expect, test } from 'bun:test'
import { channelStream } from '@conntext/contracts'
import { listMessages } from '../src/messages/queries.ts'
import { assertGapless, room } from './room.ts'
import { type Stack, startMessaging } from './stack.ts'

const START = Date.parse('2024-01-01T00:00:00.000Z')
const MINUTE = 60_000
const moment = (minute: number) => new Date(START + minute * MINUTE).toISOString()

/** A message each minute, under every tenth number of its stream. */
async function fill(stack: Stack, channelId: string, authorId: string, count: number): Promise<void> {
  await stack.sql`insert into streams (name, last_seq) values (${channelStream(channelId)}, ${count * 10 + 5})`
  await stack.sql`insert into messages (id, channel_id, author_id, seq, content, created_at)
    select gen_random_uuid(), ${channelId}, ${authorId}, n * 10, n::text, ${moment(0)}::timestamptz + n * interval '1 minute'
    from generate_series(1, ${count}) n`
  await stack.sql`analyze messages`
}

describe('a jump to a date', () => {
  test('shows what was said around that moment', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await room(stack)
    await fill(stack, channel.id, alice.userId, 100)
    await stack.sql`update messages set deleted_at = now(), content = '' where seq = 500`
    const at = async (timestamp: string, limit = 4) => {
      const query = `?limit=${limit}&at=${encodeURIComponent(timestamp)}`
      const { status, body } = await stack.history(channel.id, alice, query)
      expect(status).toBe(200)
      return [body.items.map(({ content }) => content).join(' '), body.hasMoreBefore, body.hasMoreAfter]
    }
    expect(await at(moment(20))).toEqual(['18 19 20 21', true, true])
    expect(await at(moment(20.5))).toEqual(['19 20 21 22', true, true])
    expect(await at(moment(50))).toEqual(['48 49 51 52', true, true])
    expect(await at(moment(1))).toEqual(['1 2', false, true])
    expect(await at(moment(100))).toEqual(['98 99 100', true, false])
    expect(await at(moment(101))).toEqual(['99 100', true, false])
    expect(await at(moment(20), 1)).toEqual(['20', true, true])
    expect(await at('2024-01-01T02:20:00+02:00')).toEqual(['18 19 20 21', true, true])
    expect(await at('0000-01-01T00:00:00Z')).toEqual(['1 2', false, true])
    expect(await at('9999-12-31T23:59:59Z')).toEqual(['99 100', true, false])
    expect(await at('9999-12-31T23:59:59-23:59')).toEqual(['99 100', true, false])
    for (let minute = 1; minute <= 100; minute += 1) {
      expect((await at(moment(minute), 1))[0]).toBe(minute === 50 ? '51' : `${minute}`)
    }
  })

  test('in an empty channel is an empty page; malformed or with another place it is refused', async () => {
    await using stack = await startMessaging()
    const { channel, alice } = await room(stack)
    const empty = await stack.history(channel.id, alice, `?at=${moment(1)}`)
    expect(empty.body).toEqual({ items: [], hasMoreBefore: false, hasMoreAfter: false })
    for (const at of ['yesterday', '2024-01-01', '2024-02-30T00:00:00Z', '', '1704067200000']) {
      expect((await stack.history(channel.id, alice, `?at=${at}`)).status).toBe(422)
    }
    const both = await stack.history(channel.id, alice, `?at=${moment(1)}&before=5`)
    expect(both.body).toMatchObject({ code: 'message.ambiguousPosition' })
  })
})

describe('deep in a channel', () => {
  test('a page and a jump look at no more rows than near its end', async () => {
    await using stack = await startMessaging()
    const { channel, alice, base } = await room(stack)
    await fill(stack, channel.id, alice.userId, 50_000)
    const other = await stack.authority.channel({ name: 'other' })
    await fill(stack, other.id, alice.userId, 5_000)
    const { db } = stack.deps
    const explained = async (split: number, side: 'before' | 'from') => {
      const query = listMessages(db, { channelId: channel.id, split, side, limit: 51 }) as unknown as {
        toSQL(): { sql: string; params: never[] }
      }
      const { sql, params } = query.toSQL()
      const [row] = await stack.sql.unsafe(`explain (analyze, format json) ${sql}`, params)
      return JSON.stringify(row!['QUERY PLAN'])
    }
    for (const [split, side] of [
      [499_000, 'before'],
      [250_000, 'before'],
      [600, 'before'],
      [250_000, 'from'],
      [10, 'from'],
    ] as const) {
      const plan = await explained(split, side)
      expect(plan).toContain('"Index Name":"messages_position"')
      expect(plan).not.toContain('Seq Scan')
      expect(plan).not.toContain('"Sort"')
      const rows = [...plan.matchAll(/"Actual Rows":([\d.]+)/g)].map(([, count]) => Number(count))
      expect(Math.max(...rows)).toBe(51)
    }
    const took = async (query: string) => {
      const began = performance.now()
      const { body } = await stack.history(channel.id, alice, query)
      expect(body.items).toHaveLength(50)
      return performance.now() - began
    }
    await took('')
    for (const query of [`?at=${moment(25_000)}`, `?at=${moment(40)}`, '?before=2000', '?around=250000']) {
      expect(await took(query)).toBeLessThan(2_500)
    }
    expect(base).toContain(channel.id)
  })
})

test('a megabyte of combining marks is too much, four thousand of them are one message like any other', async () => {
  await using stack = await startMessaging()
  const { channel, alice, base, say, read, outcome } = await room(stack)
  const zalgo = `a${'\u0301'.repeat(3_999)}`
  const sent = await say(alice, zalgo)
  expect((await read(alice, sent.id)).content).toBe(zalgo)
  expect(await outcome('POST', base, alice, { content: `${zalgo}\u0301` })).toBe('422 message.tooLong')
  expect(await outcome('POST', base, alice, { content: `a${'\u0301'.repeat(500_000)}` })).toMatch(/^(413|422)/)
  expect(await outcome('POST', base, alice, { content: '👩‍👩‍👧‍👦'.repeat(572) })).toBe('422 message.tooLong')
  const reply = (await stack.send(channel.id, alice, { content: 'x', replyTo: sent.id })).body
  expect([...reply.replyPreview!.excerpt]).toHaveLength(200)
  for (const content of ['\0', 'a\uD800', '\uDC00b']) {
    expect(await outcome('PATCH', `${base}/${sent.id}`, alice, { content })).toBe('422 message.unstorable')
  }
  await assertGapless(stack, channel.id)
})

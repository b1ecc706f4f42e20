import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import {
  type Block,
  type Conversation,
  channelStream,
  type DeliveryState,
  decodeNews,
  type EventFrame,
  MAX_BLOCKS,
  type Message,
  type Page,
  subjects,
  type UnreadOverview,
} from '@conntext/contracts'
import { Guard } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { audited } from './room.ts'
import { type Member, onBehalf, type Stack, startMessaging } from './stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startMessaging()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const members = (count: number) => Promise.all(Array.from({ length: count }, () => stack.authority.member()))
const outcome = async (method: string, path: string, member?: Member, body?: unknown): Promise<string> => {
  const answer = await stack.json<{ code?: string }>(method, path, member, body)
  return `${answer.status}${answer.body?.code ? ` ${answer.body.code}` : ''}`
}
const block = (member: Member, { userId }: Member) => outcome('PUT', `/v1/blocks/${userId}`, member)
const unblock = (member: Member, { userId }: Member) => outcome('DELETE', `/v1/blocks/${userId}`, member)
const open = (member: Member, ...others: Member[]) =>
  outcome('POST', '/v1/dms', member, { userIds: others.map((one) => one.userId) })
const say = (member: Member, id: string, content = 'hello') =>
  outcome('POST', `/v1/channels/${id}/messages`, member, { content })
const takeFrom = (member: Member, dmsFrom: string) => outcome('PATCH', '/v1/dms/settings', member, { dmsFrom })
const pair = async (one: Member, other: Member): Promise<string> =>
  (await stack.json<Conversation>('POST', '/v1/dms', one, { userIds: [other.userId] })).body.id

const REFUSED = '403 conversation.notAccepted'
const OWN_DOING = '409 conversation.blocked'

describe('the list', () => {
  test('tells whom one has blocked, by pages, and nobody else’s', async () => {
    const [anna, ...others] = await members(4)
    for (const one of others) expect(await block(anna!, one)).toBe('204')
    expect(await block(anna!, others[0]!)).toBe('204')
    expect(await block(others[0]!, anna!)).toBe('204')
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = cursor === '' ? '?limit=2' : `?limit=2&cursor=${cursor}`
      const { body }: { body: Page<Block> } = await stack.json<Page<Block>>('GET', `/v1/blocks${query}`, anna)
      seen.push(...body.items.map((one) => one.userId))
      cursor = body.nextCursor
    }
    expect(seen).toEqual(others.map((one) => one.userId).sort())
    expect(await stack.port.contactsOf({ userId: anna!.userId })).toEqual({ blocks: seen, dmsFrom: 'everyone' })
    expect(await unblock(anna!, others[1]!)).toBe('204')
    expect(await unblock(anna!, others[1]!)).toBe('204')
    const left = [others[0]!.userId, others[2]!.userId].sort()
    expect((await stack.port.contactsOf({ userId: anna!.userId })).blocks).toEqual(left)
  })

  test('takes who has an account, but for oneself', async () => {
    const [anna, ben, cleo] = await members(3)
    await stack.authority.setGrant(ben!.userId, { standing: 'left' })
    await stack.authority.setGrant(cleo!.userId, { standing: 'deleted' })
    expect(await block(anna!, ben!)).toBe('204')
    expect(await block(anna!, cleo!)).toBe('404 block.userNotFound')
    expect(await outcome('PUT', `/v1/blocks/${newId()}`, anna)).toBe('404 block.userNotFound')
    expect(await block(anna!, anna!)).toBe('422 block.oneself')
    expect(await outcome('PUT', '/v1/blocks/nobody', anna)).toBe('422 request.invalid')
  })

  test('is for who is logged in: not for API tokens, nor for nobody', async () => {
    const [anna, ben] = await members(2)
    const program = { ...anna!, token: stack.authority.apiToken(anna!.userId, ['administrator']).token }
    for (const [method, path] of [
      ['GET', '/v1/blocks'],
      ['PUT', `/v1/blocks/${ben!.userId}`],
      ['DELETE', `/v1/blocks/${ben!.userId}`],
      ['GET', '/v1/dms/settings'],
    ] as const) {
      expect(await outcome(method, path)).toBe('401 access.unauthenticated')
      expect(await outcome(method, path, program)).toBe('403 access.notForTokens')
    }
    expect(await takeFrom(anna!, 'somebody')).toBe('422 request.invalid')
  })

  test('is full at some point, also where the last places are taken at once', async () => {
    const [anna, ...others] = await members(4)
    await stack.sql`insert into blocks (user_id, blocked_id, created_at)
      select ${anna!.userId}, gen_random_uuid(), now() from generate_series(1, ${MAX_BLOCKS - 1})`
    const answers = await Promise.all(others.map((one) => block(anna!, one)))
    expect(answers.sort()).toEqual(['204', '409 block.tooMany', '409 block.tooMany'])
  })

  test('its changes reach one’s other devices, and the audit, which does not learn whom', async () => {
    const [anna, ben] = await members(2)
    for (const act of [block, block, unblock, unblock]) await act(anna!, ben!)
    for (const dmsFrom of ['nobody', 'nobody', 'everyone']) expect(await takeFrom(anna!, dmsFrom)).toBe('200')
    const own = (action: string) => async () =>
      (await audited(stack, action)).filter((event) => event.actor.id === anna!.userId)
    expect(await own('block.added')()).toMatchObject([{ target: { kind: 'user', id: anna!.userId }, data: {} }])
    expect(await own('block.removed')()).toHaveLength(1)
    expect(await own('contactSettings.updated')()).toMatchObject([
      { data: { changes: { dmsFrom: { from: 'everyone', to: 'nobody' } } } },
      { data: { changes: { dmsFrom: { from: 'nobody', to: 'everyone' } } } },
    ])
    const told = stack.told.filter((event) => event.stream === `user:${anna!.userId}`)
    expect(told.map(({ type, data }) => [type, data])).toEqual([
      ['block.added', { userId: ben!.userId }],
      ['block.removed', { userId: ben!.userId }],
      ['contactSettings.updated', { dmsFrom: 'nobody' }],
      ['contactSettings.updated', { dmsFrom: 'everyone' }],
    ])
  })
})

describe('who is blocked', () => {
  test('begins no conversation with one, adds one to no group, and can’t tell it from a closed door', async () => {
    const [anna, ben, cleo, dora] = await members(4)
    await block(anna!, ben!)
    await takeFrom(dora!, 'nobody')
    for (const closed of [anna!, dora!]) {
      const answer = await stack.json('POST', '/v1/dms', ben, { userIds: [closed.userId] })
      expect([answer.status, answer.body.code]).toEqual([403, 'conversation.notAccepted'])
      expect(answer.body.errors).toEqual([{ path: '/body/userIds/0', message: 'does not take messages from you' }])
      expect(await open(ben!, cleo!, closed)).toBe(REFUSED)
    }
    const { body: group } = await stack.json<Conversation>('POST', '/v1/dms', ben, {
      userIds: [cleo!.userId],
      name: 'Us',
    })
    expect(await outcome('PUT', `/v1/dms/${group.id}/participants/${anna!.userId}`, ben)).toBe(REFUSED)
    // Others may: it is between the two alone.
    expect(await outcome('PUT', `/v1/dms/${group.id}/participants/${anna!.userId}`, cleo)).toBe('200')
    expect(await unblock(anna!, ben!)).toBe('204')
    expect(await open(ben!, anna!)).toBe('201')
  })

  test('says nothing more in the conversation of the two, in no way, and neither does who has blocked them', async () => {
    const [anna, ben] = await members(2)
    const id = await pair(anna!, ben!)
    const base = `/v1/channels/${id}/messages`
    const { body: said } = await stack.send(id, ben!, { content: 'before' })
    const path = `${base}/${said.id}`
    await block(anna!, ben!)
    const ways = (member: Member): Promise<string>[] => [
      say(member, id),
      outcome('PUT', `${path}/reactions/%F0%9F%91%8D`, member),
      outcome('PUT', `${path}/pin`, member),
    ]
    const bens = [...ways(ben!), outcome('PATCH', path, ben, { content: 'worse' })]
    expect(await Promise.all(bens)).toEqual(Array<string>(4).fill(REFUSED))
    expect(await Promise.all(ways(anna!))).toEqual(Array<string>(3).fill(OWN_DOING))
    const sends = [{ channelId: id, message: { content: 'by the socket' } }]
    expect(await stack.port.sendMessages({ caller: onBehalf(ben!), sends })).toMatchObject([
      { problem: { code: 'conversation.notAccepted' } },
    ])
    // What was said stays, is read by both, and may be taken back.
    expect((await stack.history(id, ben!)).body.items.map((one) => one.content)).toEqual(['before'])
    expect(await open(ben!, anna!)).toBe('200')
    expect(await open(anna!, ben!)).toBe('200')
    expect(await outcome('DELETE', path, ben)).toBe('204')
    await unblock(anna!, ben!)
    expect([await say(ben!, id), await say(anna!, id)]).toEqual(['201', '201'])
  })

  test('learns no more of what the other receives and reads, nor the other of what they do, until neither is', async () => {
    const [anna, ben] = await members(2)
    const id = await pair(anna!, ben!)
    const told: DeliveryState[] = []
    await stack.bus.subscribe(subjects.stream(channelStream(id)), (news) => {
      const frame: EventFrame = JSON.parse(decodeNews(news).frame)
      if (frame.t === 'delivery.updated') told.push(frame.d as DeliveryState)
    })
    const reads = (member: Member, seq: number) => outcome('PUT', `/v1/channels/${id}/read`, member, { seq })
    const receives = ({ userId }: Member, seq: number) =>
      stack.port.acknowledgeDeliveries({ userId, deliveries: [{ channelId: id, seq }] })
    const shown = async (member: Member) => {
      const { body } = await stack.json<Conversation>('GET', `/v1/dms/${id}`, member)
      return new Map(body.participants.map((one) => [one.userId, [one.deliveredSeq, one.readSeq]]))
    }
    const marks = (annas: number[], bens: number[]) => new Map([[anna!.userId, annas] as const, [ben!.userId, bens]])
    for (const content of ['one', 'two', 'three']) expect(await say(ben!, id, content)).toBe('201')
    expect(await say(anna!, id)).toBe('201')
    await reads(anna!, 1)
    await receives(anna!, 2)
    await block(anna!, ben!)
    await block(ben!, anna!)
    told.splice(0)
    await reads(anna!, 3)
    await receives(ben!, 4)
    await reads(ben!, 4)
    await unblock(ben!, anna!)
    for (const member of [anna!, ben!]) expect(await shown(member)).toEqual(marks([2, 1], [0, 0]))
    // What one has read oneself is known on all one's devices nevertheless.
    const { body: unread } = await stack.json<UnreadOverview>('GET', '/v1/unread', anna)
    expect(unread.items.find((one) => one.channelId === id)).toMatchObject({ lastReadSeq: 3 })
    expect(told).toEqual([])
    await unblock(anna!, ben!)
    for (const member of [anna!, ben!]) expect(await shown(member)).toEqual(marks([3, 3], [4, 4]))
    await eventually(() => told.length === 2)
    expect(new Map(told.map((one) => [one.userId, [one.deliveredSeq, one.readSeq]]))).toEqual(marks([3, 3], [4, 4]))
  })

  test('whom one has blocked oneself, one does not begin with either', async () => {
    const [anna, ben] = await members(2)
    await block(anna!, ben!)
    expect(await open(anna!, ben!)).toBe(OWN_DOING)
    await block(ben!, anna!)
    expect(await open(anna!, ben!)).toBe(OWN_DOING)
  })

  test('goes on in groups and channels', async () => {
    const [anna, ben, cleo] = await members(3)
    const body = { userIds: [ben!.userId, cleo!.userId] }
    const { body: group } = await stack.json<Conversation>('POST', '/v1/dms', anna, body)
    const channel = await stack.authority.channel()
    await block(anna!, ben!)
    for (const id of [group.id, channel.id]) {
      expect([await say(ben!, id), await say(anna!, id)]).toEqual(['201', '201'])
      const { body: said } = await stack.send(id, anna!, { content: 'look' })
      expect(await outcome('PUT', `/v1/channels/${id}/messages/${said.id}/reactions/%F0%9F%91%8D`, ben)).toBe('204')
    }
  })
})

test('a closed door keeps out who is new, not with whom one talks already', async () => {
  const [anna, ben, cleo] = await members(3)
  const id = await pair(ben!, anna!)
  expect(await takeFrom(anna!, 'nobody')).toBe('200')
  expect((await stack.json('GET', '/v1/dms/settings', anna)).body).toEqual({ dmsFrom: 'nobody' } as never)
  expect([await say(ben!, id), await open(ben!, anna!), await open(ben!, anna!, cleo!)]).toEqual(['201', '200', '201'])
  expect(await open(cleo!, anna!)).toBe(REFUSED)
  // Whom one writes to oneself may answer.
  const answered = await pair(anna!, cleo!)
  expect(await say(cleo!, answered)).toBe('201')
})

/** How many transactions wait for another. */
const waiting = async () =>
  (await stack.sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)
    .length

/** Keeps the table from being written; whatever is to be stored stops after it has been looked at. */
async function holdTable(table: string) {
  const held = await stack.sql.reserve()
  await held`begin`
  await held`lock table ${stack.sql(table)} in share mode`
  return async () => {
    await held`commit`
    held.release()
  }
}

test('what is on its way when somebody is blocked comes before the answer, or not at all', async () => {
  const [anna, ben] = await members(2)
  const id = await pair(anna!, ben!)
  const release = await holdTable('messages')
  const order: string[] = []
  const sent = say(ben!, id, 'on its way').then((answer) => order.push(`sent ${answer}`))
  await eventually(async () => (await waiting()) === 1)
  const blocked = block(anna!, ben!).then((answer) => order.push(`blocked ${answer}`))
  await eventually(async () => order.length > 0 || (await waiting()) === 2)
  expect(order).toEqual([])
  await release()
  await Promise.all([sent, blocked])
  expect(order).toEqual(['sent 201', 'blocked 204'])
})

test('after the answer nothing comes any more, whichever instance it is sent to and whatever that has heard', async () => {
  const [anna, ben] = await members(2)
  const id = await pair(anna!, ben!)
  // It listens on a bus of its own: no news ever comes.
  const bus = createMemoryBus(silentLogger)
  const guard = new Guard({ auth: stack.authority.port, bus, log: silentLogger })
  await guard.start()
  const deaf = createMessagingService({ ...stack.deps, guard, bus })
  const elsewhere = async (content: string): Promise<string> => {
    const headers = { authorization: `Bearer ${ben!.token}`, 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify({ content }) }
    return String((await deaf.app.handle(new Request(`http://localhost/v1/channels/${id}/messages`, init))).status)
  }
  let going = true
  const answers: string[] = []
  const sender = async (send: (content: string) => Promise<string>) => {
    for (let n = 0; going; n += 1) answers.push(await send(`number ${n}`))
  }
  const senders = [elsewhere, elsewhere, (content: string) => say(ben!, id, content)].map(sender)
  await eventually(() => answers.length > 30)
  expect(await block(anna!, ben!)).toBe('204')
  const stored = async () =>
    (await stack.sql<Message[]>`select id from messages where channel_id = ${id}`).map((row) => row.id).sort()
  const then = await stored()
  const before = answers.length
  await eventually(() => answers.length > before + 30)
  going = false
  await Promise.all(senders)
  expect(await stored()).toEqual(then)
  expect(answers.filter((one) => one === '201')).toHaveLength(then.length)
  await guard.stop()
})

test.each([
  ['blocked', block],
  ['kept out', (anna: Member) => takeFrom(anna, 'nobody')],
] as const)('who is being %s while they begin something has begun before the answer', async (_, refuse) => {
  const [anna, ben, cleo] = await members(3)
  const body = { userIds: [cleo!.userId], name: 'Us' }
  const { body: group } = await stack.json<Conversation>('POST', '/v1/dms', ben, body)
  const release = await holdTable('conversation_participants')
  const order: string[] = []
  const note = (answer: string) => order.push(answer)
  const begun = [open(ben!, anna!), outcome('PUT', `/v1/dms/${group.id}/participants/${anna!.userId}`, ben)]
  const noted = begun.map((one) => one.then(note))
  await eventually(async () => (await waiting()) === 2)
  const refused = refuse(anna!, ben!).then(() => note('refused from now on'))
  await eventually(async () => order.length > 0 || (await waiting()) === 3)
  expect(order).toEqual([])
  await release()
  await Promise.all([...noted, refused])
  expect(order.at(-1)).toBe('refused from now on')
  expect(order.slice(0, 2).sort()).toEqual(['200', '201'])
})

test('an account that goes takes its blocks along, and those of others', async () => {
  const [anna, ben, cleo] = await members(3)
  await block(anna!, ben!)
  await block(cleo!, anna!)
  await block(cleo!, ben!)
  await takeFrom(anna!, 'nobody')
  for (const _ of [1, 2]) await stack.port.userDeleted({ userId: anna!.userId, messages: 'keep' })
  const rows = await stack.sql`select user_id, blocked_id from blocks where ${anna!.userId} in (user_id, blocked_id)`
  expect(rows).toHaveLength(0)
  expect(await stack.sql`select 1 from contact_settings where user_id = ${anna!.userId}`).toHaveLength(0)
  expect((await stack.port.contactsOf({ userId: cleo!.userId })).blocks).toEqual([ben!.userId])
  // Somebody may not have heard yet.
  expect(await block(anna!, ben!)).toBe('401 access.unauthenticated')
  expect(await takeFrom(anna!, 'nobody')).toBe('401 access.unauthenticated')
  expect(await block(ben!, anna!)).toBe('404 block.userNotFound')
  expect(await stack.sql`select 1 from blocks where ${anna!.userId} in (user_id, blocked_id)`).toHaveLength(0)
})

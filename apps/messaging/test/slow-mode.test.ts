import { expect, test } from 'bun:test'
import { messagingPort, type NewMessage } from '@conntext/contracts'
import { callPort } from '@conntext/http'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Member, onBehalf, type Stack, startMessaging } from './stack.ts'

const SLOW = 10

/** A clock that stands still until it is told to go on. */
function testClock() {
  let now = Date.now()
  return {
    now: () => new Date(now),
    advance(seconds: number) {
      now += seconds * 1000
    },
  }
}

async function startSlow() {
  const clock = testClock()
  const stack = await startMessaging({ clock })
  const channel = await stack.authority.channel({ slowModeSeconds: SLOW })
  const outcome = async (member: Member, message: NewMessage, channelId = channel.id) => {
    const { status, body, headers } = await stack.send(channelId, member, message)
    return status === 201 ? 'sent' : `${status} ${body.code} ${headers.get('retry-after')}`
  }
  return { clock, stack, channel, outcome }
}

const rows = (stack: Stack) => stack.sql`select * from slow_mode_sends`

test('who has written waits, to the second, in that channel alone; others need not', async () => {
  const { clock, stack, outcome } = await startSlow()
  await using _ = stack
  const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
  const elsewhere = await stack.authority.channel({ name: 'elsewhere' })
  expect(await outcome(ann, { content: 'one' })).toBe('sent')
  expect(await outcome(ann, { content: 'two' })).toBe(`429 message.slowMode ${SLOW}`)
  expect(await outcome(bob, { content: 'one' })).toBe('sent')
  expect(await outcome(ann, { content: 'one' }, elsewhere.id)).toBe('sent')
  clock.advance(SLOW - 0.5)
  expect(await outcome(ann, { content: 'two' })).toBe('429 message.slowMode 1')
  clock.advance(0.5)
  expect(await outcome(ann, { content: 'two' })).toBe('sent')
  expect(await outcome(ann, { content: 'three' })).toBe(`429 message.slowMode ${SLOW}`)
})

test('of many sent at once one is taken, by HTTP, by the gateway and by another instance alike', async () => {
  const { stack, channel, outcome } = await startSlow()
  await using _ = stack
  const ann = await stack.authority.member()
  const other = createMessagingService(stack.deps)
  const otherPort = callPort(messagingPort, { transport: other.port.handle, credential: stack.deps.credential })
  const byGateway = otherPort.sendMessages({
    caller: onBehalf(ann),
    sends: Array.from({ length: 5 }, (_, index) => ({ channelId: channel.id, message: { content: `${index}` } })),
  })
  const byHttp = Array.from({ length: 10 }, (_, index) => outcome(ann, { content: `http ${index}` }))
  const told = [
    ...(await byGateway).map((one) =>
      'message' in one ? 'sent' : `${one.problem.status} ${one.problem.code} ${one.problem.retryAfter}`,
    ),
    ...(await Promise.all(byHttp)),
  ]
  expect(told.filter((one) => one === 'sent')).toHaveLength(1)
  expect(told.filter((one) => one === `429 message.slowMode ${SLOW}`)).toHaveLength(14)
  expect((await stack.history(channel.id, ann)).body.items).toHaveLength(1)
})

test('a repeat of a nonce still answers the first message; a refused one may be sent later under its nonce', async () => {
  const { clock, stack, channel, outcome } = await startSlow()
  await using _ = stack
  const ann = await stack.authority.member()
  const first = await stack.send(channel.id, ann, { content: 'one', nonce: 'n1' })
  expect((await stack.send(channel.id, ann, { content: 'one', nonce: 'n1' })).body).toEqual(first.body)
  expect(await outcome(ann, { content: 'two', nonce: 'n2' })).toBe(`429 message.slowMode ${SLOW}`)
  clock.advance(SLOW)
  expect(await outcome(ann, { content: 'two', nonce: 'n2' })).toBe('sent')
})

test('a deleted message counts, one that was refused does not', async () => {
  const { clock, stack, channel, outcome } = await startSlow()
  await using _ = stack
  const ann = await stack.authority.member()
  const { body } = await stack.send(channel.id, ann, { content: 'one' })
  await stack.json('DELETE', `/v1/channels/${channel.id}/messages/${body.id}`, ann)
  expect(await outcome(ann, { content: 'two' })).toBe(`429 message.slowMode ${SLOW}`)
  clock.advance(SLOW)
  expect(await outcome(ann, { content: '', mediaIds: [] })).toBe('422 message.empty null')
  expect(await outcome(ann, { content: 'a reply', replyTo: body.id })).toBe('422 message.replyNotFound null')
  expect(await outcome(ann, { content: 'two' })).toBe('sent')
})

test('who keeps order in the channel need not wait; with an API token only within its scopes; bots wait', async () => {
  const { stack, channel, outcome } = await startSlow()
  await using _ = stack
  const twice = async (member: Member) => [
    await outcome(member, { content: '1' }),
    await outcome(member, { content: '2' }),
  ]
  const waits = ['sent', `429 message.slowMode ${SLOW}`]
  const goesOn = ['sent', 'sent']
  const moderator = await stack.authority.member({ permissions: ['message.manage'] })
  expect(await twice(moderator)).toEqual(goesOn)
  expect(await twice(await stack.authority.member({ permissions: ['channel.manage'] }))).toEqual(goesOn)
  expect(await twice(await stack.authority.member({ owner: true }))).toEqual(goesOn)
  const scoped = stack.authority.apiToken(moderator.userId, ['channel.view', 'message.send'])
  expect(await twice({ ...moderator, token: scoped.token })).toEqual(waits)
  const bot = await stack.authority.member()
  await stack.authority.setGrant(bot.userId, { kind: 'bot' })
  expect(await twice(bot)).toEqual(waits)
  // There alone: elsewhere the same role is nothing.
  const local = await stack.authority.member()
  stack.authority.snapshot.overrides.push({
    channelId: channel.id,
    targetKind: 'member',
    targetId: local.userId,
    allow: ['message.manage'],
    deny: [],
  })
  await stack.authority.changed()
  expect(await twice(local)).toEqual(goesOn)
})

test('nothing is written down where slow mode is off, and it ends as soon as it is turned off', async () => {
  const { stack, channel, outcome } = await startSlow()
  await using _ = stack
  const ann = await stack.authority.member()
  const fast = await stack.authority.channel({ name: 'fast' })
  expect(await outcome(ann, { content: '1' }, fast.id)).toBe('sent')
  expect(await rows(stack)).toHaveLength(0)
  expect(await outcome(ann, { content: '1' })).toBe('sent')
  expect(await rows(stack)).toHaveLength(1)
  stack.authority.snapshot.channels.find(({ id }) => id === channel.id)!.slowModeSeconds = 0
  await stack.authority.changed()
  expect(await outcome(ann, { content: '2' })).toBe('sent')
})

test('what nobody waits for any more is forgotten', async () => {
  const { clock, stack, channel } = await startSlow()
  await using _ = stack
  const ann = await stack.authority.member()
  await stack.send(channel.id, ann, { content: 'now' })
  await stack.sql`insert into slow_mode_sends values (${channel.id}, gen_random_uuid(), ${new Date(clock.now().getTime() - 21_601_000)})`
  const another = createMessagingService(stack.deps)
  await another.start()
  await eventually(async () => (await rows(stack)).length === 1)
  expect((await rows(stack))[0]!.author_id).toBe(ann.userId)
  await another.stop()
})

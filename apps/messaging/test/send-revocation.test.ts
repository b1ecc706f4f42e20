import { expect, test } from 'bun:test'
import type { Conversation } from '@conntext/contracts'
import { atTheLastMoment, forbid } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const timeOut = (stack: Stack, { userId }: Member) =>
  stack.authority.setGrant(userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })

/** What a message is answered when something is taken from its author at the last moment. */
async function cutOff(stack: Stack, channelId: string, ann: Member, cut: () => Promise<void>): Promise<string> {
  const sent = () => stack.send(channelId, ann, { content: 'at the last moment' })
  const { status, body } = await atTheLastMoment(stack, channelId, sent, cut)
  return `${status} ${body.code}`
}

type Reason = [what: string, told: string, cut: (stack: Stack, ann: Member) => Promise<void>]

test.each<Reason>([
  ['is timed out', '403 access.forbidden', timeOut],
  ['may write there no more', '403 access.forbidden', (stack) => forbid(stack, 'message.send')],
  ['may not see it any more', '404 channel.notFound', (stack) => forbid(stack, 'channel.view')],
  [
    'is banned',
    '401 access.unauthenticated',
    (stack, ann) => stack.authority.setGrant(ann.userId, { standing: 'banned' }),
  ],
  ['has left', '403 access.notAMember', (stack, ann) => stack.authority.setGrant(ann.userId, { standing: 'left' })],
  [
    'lacks the second factor that the server asks for',
    '403 access.mfaRequired',
    async (stack) => {
      stack.authority.snapshot.server.requireMfa = true
      await stack.authority.changed()
    },
  ],
])('nothing comes into a channel by who %s, once that is answered', async (_, told, cut) => {
  await using stack = await startMessaging()
  const channel = await stack.authority.channel()
  const ann = await stack.authority.member()
  expect(await cutOff(stack, channel.id, ann, () => cut(stack, ann))).toBe(told)
  expect(await stack.sql`select from messages`).toHaveLength(0)
})

test('nothing comes into a conversation by who is timed out; what roles say does not count there', async () => {
  await using stack = await startMessaging()
  const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
  const { id } = (await stack.json<Conversation>('POST', '/v1/dms', ann, { userIds: [bob.userId] })).body
  expect(await cutOff(stack, id, ann, () => forbid(stack, 'message.send'))).toBe('201 undefined')
  expect(await cutOff(stack, id, ann, () => timeOut(stack, ann))).toBe('403 access.forbidden')
})

import { expect, test } from 'bun:test'
import { type Conversation, channelStream, type Permission } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { type Member, type Stack, startMessaging } from './stack.ts'

const without = async (stack: Stack, permission: Permission) => {
  const everyone = stack.authority.snapshot.roles[0]!
  everyone.permissions = everyone.permissions.filter((name) => name !== permission)
  await stack.authority.changed()
}
const timeOut = (stack: Stack, { userId }: Member) =>
  stack.authority.setGrant(userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })

/** What a message is answered that has been admitted, and waits for the stream, when something is taken from its author. */
async function cutOff(stack: Stack, channelId: string, ann: Member, cut: () => Promise<void>): Promise<string> {
  const name = channelStream(channelId)
  const held = await stack.sql.reserve()
  await held`begin`
  await held`insert into streams (name) values (${name}) on conflict do nothing`
  await held`select from streams where name = ${name} for update`
  const sent = stack.send(channelId, ann, { content: 'at the last moment' })
  const waiting = () => stack.sql`select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database() and query like '%streams%'`
  await eventually(async () => (await waiting()).length > 0)
  await cut()
  await held`commit`
  held.release()
  const { status, body } = await sent
  return `${status} ${body.code}`
}

type Reason = [what: string, told: string, cut: (stack: Stack, ann: Member) => Promise<void>]

test.each<Reason>([
  ['is timed out', '403 access.forbidden', timeOut],
  ['may write there no more', '403 access.forbidden', (stack) => without(stack, 'message.send')],
  ['may not see it any more', '404 channel.notFound', (stack) => without(stack, 'channel.view')],
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
  expect(await cutOff(stack, id, ann, () => without(stack, 'message.send'))).toBe('201 undefined')
  expect(await cutOff(stack, id, ann, () => timeOut(stack, ann))).toBe('403 access.forbidden')
})

import {
  channelStream,
  decodeNews,
  type EventFrame,
  type Message,
  type Permission,
  subjects,
} from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import type { Member, Stack } from './stack.ts'

/** A channel with two members and a moderator, and what is published of it. */
export async function room(stack: Stack) {
  const channel = await stack.authority.channel()
  const moderates: Permission[] = ['message.manage', 'message.pin', 'message.mentionEveryone']
  const [alice, bob, moderator] = [
    await stack.authority.member(),
    await stack.authority.member(),
    await stack.authority.member({ permissions: moderates }),
  ]
  const events: EventFrame[] = []
  await stack.bus.subscribe(subjects.stream(channelStream(channel.id)), (news) =>
    events.push(JSON.parse(decodeNews(news).frame)),
  )
  const base = `/v1/channels/${channel.id}/messages`
  const say = async (member: Member, content: string, replyTo?: string): Promise<Message> =>
    (await stack.send(channel.id, member, { content, ...(replyTo ? { replyTo } : {}) })).body
  return {
    channel,
    alice,
    bob,
    moderator,
    events,
    base,
    say,
    read: async (member: Member, id: string) => (await stack.json<Message>('GET', `${base}/${id}`, member)).body,
    /** `<status> <code>` of an answer. */
    outcome: async (method: string, path: string, member?: Member, body?: unknown) => {
      const answer = await stack.json<{ code?: string }>(method, path, member, body)
      return `${answer.status}${answer.body?.code ? ` ${answer.body.code}` : ''}`
    },
  }
}

/** What was audited under an action, once all that is owed has been delivered. */
export async function audited(stack: Stack, action: string) {
  await eventually(
    async () => (await stack.sql`select 1 from messaging_outbox where delivered_at is null`).length === 0,
  )
  return stack.audited.filter((event) => event.action === action)
}

/** The numbers of a channel's log rise by one, and end where the stream stands. */
export async function assertGapless(stack: Stack, channelId: string): Promise<void> {
  const stream = channelStream(channelId)
  const rows = await stack.sql`select seq::int from stream_events where stream = ${stream} order by seq`
  const [head] = await stack.sql`select last_seq::int from streams where name = ${stream}`
  const expected = Array.from({ length: head!.last_seq }, (_, index) => index + 1)
  if (JSON.stringify(rows.map((row) => row.seq)) !== JSON.stringify(expected)) throw new Error('the log has gaps')
}

/** What everyone may do, but for this. */
export async function forbid(stack: Stack, permission: Permission): Promise<void> {
  const everyone = stack.authority.snapshot.roles[0]!
  everyone.permissions = everyone.permissions.filter((name) => name !== permission)
  await stack.authority.changed()
}

/** What something is answered that has been admitted, and waits for the stream, when something else comes in between. */
export async function atTheLastMoment<Answer>(
  stack: Stack,
  channelId: string,
  act: () => Promise<Answer>,
  between: () => Promise<void>,
): Promise<Answer> {
  const name = channelStream(channelId)
  const held = await stack.sql.reserve()
  await held`begin`
  await held`insert into streams (name) values (${name}) on conflict do nothing`
  await held`select from streams where name = ${name} for update`
  const answer = act()
  const waiting = () => stack.sql`select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database() and query like '%streams%'`
  await eventually(async () => (await waiting()).length > 0)
  await between()
  await held`commit`
  held.release()
  return answer
}

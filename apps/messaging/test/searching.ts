import { channelStream, type Message, type NewMessage, type SearchPage } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { SearchIndexer } from '../src/search/indexer.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

/** For tests that wait for the index, on a slow machine. */
export const SLOW = 30_000

export const find = (stack: Stack, member: Member | undefined, q: string, more = '') =>
  stack.json<SearchPage>('GET', `/v1/search?q=${encodeURIComponent(q)}${more}`, member)

export const contents = async (stack: Stack, member: Member, q: string, more = '&sort=oldest&limit=100') => {
  const { status, body } = await find(stack, member, q, more)
  if (status !== 200) throw new Error(`${status} ${body.code} ${body.detail}`)
  return body.items.map((hit) => hit.message.content)
}

/** Waits until the service has brought all that was sent into the index: it looks every few seconds. */
export const indexed = (stack: Stack) =>
  eventually(async () => {
    const [{ lagging }] = (await stack.sql`select count(*)::int as lagging from streams
      left join search_progress on name = 'channel:' || channel_id
      where name like 'channel:%' and last_seq > coalesce(indexed_seq, 0)`) as [{ lagging: number }]
    return lagging === 0
  })

/** Brings all that was sent into the index at once, as another instance that starts does. */
export async function indexNow(stack: Stack): Promise<void> {
  const another = new SearchIndexer(stack.deps)
  another.start()
  try {
    await indexed(stack)
  } finally {
    await another.stop()
  }
}

export async function sent(stack: Stack, channelId: string, member: Member, message: NewMessage): Promise<Message> {
  const { status, body } = await stack.send(channelId, member, message)
  if (status !== 201) throw new Error(`${status} ${body.code}`)
  return body
}

/** A stack with a channel and a moderator. */
export async function searchScene(options: Parameters<typeof startMessaging>[0] = {}) {
  const stack = await startMessaging(options)
  const channel = await stack.authority.channel()
  const ann = await stack.authority.member({ permissions: ['message.manage'] })
  return { stack, channel, ann }
}

/** Messages that were there before, or in great number: their rows alone. */
export async function write(stack: Stack, channelId: string, member: Member, texts: string[]) {
  const [{ last_seq: last } = { last_seq: 0 }] =
    await stack.sql`select last_seq from streams where name = ${channelStream(channelId)}`
  const first = Number(last) + 1
  const rows = texts.map((content, i) => ({
    id: newId(),
    channel_id: channelId,
    author_id: member.userId,
    seq: first + i,
    content,
    created_at: new Date(Date.UTC(2026, 0, 1) + (first + i) * 1000),
  }))
  await stack.sql`insert into messages ${stack.sql(rows)}`
  const seq = Number(last) + texts.length
  await stack.sql`insert into streams (name, last_seq) values (${channelStream(channelId)}, ${seq}) on conflict (name) do update set last_seq = ${seq}`
  return rows
}

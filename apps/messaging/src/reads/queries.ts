import { type ChannelUnread, channelStream, MAX_UNREAD, type ReadState } from '@conntext/contracts'
import {
  type Communications,
  type CommunicationsExecutor,
  messageMentions,
  messages,
  readStates,
  streams,
} from '@conntext/db-communications'
import { and, eq, sql } from 'drizzle-orm'

export type Mark = { userId: string; channelId: string; seq: number; readAt: Date }

/** Raises the mark, as far as there is something to read; answers where it is then, or undefined where it was there. */
export async function raiseMark(
  tx: CommunicationsExecutor,
  { userId, channelId, seq, readAt }: Mark,
): Promise<number | undefined> {
  const [row] = await tx.execute<{ seq: string }>(sql`
    insert into ${readStates} as known (user_id, channel_id, last_read_seq, read_at)
    select ${userId}::uuid, ${channelId}::uuid, least(${seq}::bigint, last_seq), ${readAt.toISOString()}::timestamptz
    from ${streams} where name = ${channelStream(channelId)} and least(${seq}::bigint, last_seq) > 0
    on conflict (user_id, channel_id) do update
      set last_read_seq = excluded.last_read_seq, read_at = excluded.read_at
      where known.last_read_seq < excluded.last_read_seq
    returning last_read_seq as seq`)
  return row && Number(row.seq)
}

export async function findMark(db: CommunicationsExecutor, userId: string, channelId: string): Promise<number> {
  const [row] = await db
    .select({ seq: readStates.lastReadSeq })
    .from(readStates)
    .where(and(eq(readStates.userId, userId), eq(readStates.channelId, channelId)))
  return row?.seq ?? 0
}

export async function findMarks(db: CommunicationsExecutor, userId: string): Promise<ReadState[]> {
  const { channelId, lastReadSeq } = readStates
  return db.select({ channelId, lastReadSeq }).from(readStates).where(eq(readStates.userId, userId))
}

export type Reader = {
  userId: string
  /** Under what they are called, but for everyone. */
  targetIds: string[]
}

/** What a reader hasn't read of each of these channels, in their order; what they wrote themselves doesn't count. */
export async function countUnread(db: Communications, reader: Reader, channelIds: string[]): Promise<ChannelUnread[]> {
  const { userId, targetIds } = reader
  const read = sql`coalesce(r.last_read_seq, 0)`
  const isBehind = sql`s.last_seq > ${read}`
  const unread = sql`select from ${messages} m where ${isBehind} and m.channel_id = c.id and m.seq > ${read}
    and m.author_id <> ${userId} and m.deleted_at is null order by m.seq limit ${MAX_UNREAD}`
  const calls = sql`select distinct n.seq from ${messageMentions} n
    where ${isBehind} and n.target_id = any(${sql.param(targetIds)}::uuid[] || c.id) and n.channel_id = c.id
      and n.seq > ${read} and n.author_id <> ${userId} limit ${MAX_UNREAD}`
  const counted = sql<Record<keyof ChannelUnread, string>>`
    select c.id as "channelId", ${read} as "lastReadSeq", coalesce(s.last_seq, 0) as "lastSeq",
      (select count(*) from (${unread}) x) as unread, (select count(*) from (${calls}) y) as mentions
    from unnest(${sql.param(channelIds)}::uuid[]) with ordinality as c (id, place)
    left join ${streams} s on s.name = 'channel:' || c.id
    left join ${readStates} r on r.user_id = ${userId} and r.channel_id = c.id
    order by c.place`
  const rows = await db.transaction(async (tx) => {
    // Planned anew each time: a kept plan from when the tables were small scans them whole.
    const planning = tx.execute(sql`set local plan_cache_mode = force_custom_plan`)
    const found = tx.execute<Record<keyof ChannelUnread, string>>(counted)
    return (await Promise.all([planning, found]))[1]
  })
  return rows.map(({ channelId, lastReadSeq, lastSeq, unread, mentions }) => ({
    channelId,
    lastReadSeq: Number(lastReadSeq),
    lastSeq: Number(lastSeq),
    unread: Number(unread),
    mentions: Number(mentions),
  }))
}

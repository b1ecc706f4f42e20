import { channelStream } from '@conntext/contracts'
import { type Communications, messages, streams } from '@conntext/db-communications'
import { sql } from 'drizzle-orm'

const LATEST = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * The place in a channel where a moment begins: messages from it on were sent then or later, those before it earlier.
 * Found by halving, since time rises with the numbers: some twenty looks into the index of places in a channel of a
 * million messages, and no index of its own that every send would have to keep.
 */
export async function findMoment(db: Communications, channelId: string, timestamp: string): Promise<number> {
  // Nothing was sent before 1970 or will be after 9999, and Postgres reads no year of another length.
  const at = new Date(Math.min(Math.max(0, Date.parse(timestamp)), LATEST)).toISOString()
  // `low` and `high` close in on the place; a look is at the first message from the middle on, if there is one.
  const [row] = await db.execute<{ place: string }>(sql`
    with recursive search (low, high) as (
      select 1::bigint, last_seq + 1 from ${streams} where name = ${channelStream(channelId)}
      union all
      select case when looked.created_at < ${at}::timestamptz then looked.seq + 1 else low end,
        case when looked.created_at < ${at}::timestamptz then high else middle end
      from search
      cross join lateral (select (low + high) / 2 as middle) halved
      left join lateral (
        select seq, created_at from ${messages} where channel_id = ${channelId} and seq >= middle
        order by seq limit 1
      ) looked on true
      where low < high
    )
    select max(low) as place from search where low >= high`)
  return Number(row?.place ?? 1)
}

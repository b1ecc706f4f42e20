import type { Communications } from '@conntext/db-communications'
import { sql } from 'drizzle-orm'

const COUNTED = sql`
  select coalesce(owner_id::text, 'server') as holder, sum(bytes)::bigint as bytes, sum(files)::int as files,
    sum(reserved)::bigint as reserved
  from (
    select owner_id, size as bytes, 1 as files, 0 as reserved from media
    union all
    select owner_id, 0, 0, size from media_uploads where finished_at is null
  ) as stored
  group by grouping sets ((owner_id), ())`

/**
 * Counts anew what is stored for everybody, and answers of how many it was counted otherwise; with `repair`, that is put
 * right. While it counts, nothing is stored.
 */
export function recountUsage(db: Communications, { repair }: { repair: boolean }): Promise<number> {
  return db.transaction(async (tx) => {
    // Whoever stores something writes into this table in the same transaction.
    await tx.execute(sql`lock table media_usage in exclusive mode`)
    const wrong = await tx.execute(sql`
      select coalesce(counted.holder, usage.holder) as holder from (${COUNTED}) as counted
      full join media_usage as usage on usage.holder = counted.holder
      where (coalesce(counted.bytes, 0), coalesce(counted.files, 0), coalesce(counted.reserved, 0))
        is distinct from (coalesce(usage.bytes, 0), coalesce(usage.files, 0), coalesce(usage.reserved, 0))`)
    if (repair && wrong.length > 0) {
      await tx.execute(sql`delete from media_usage`)
      await tx.execute(sql`insert into media_usage (holder, bytes, files, reserved)
        select holder, coalesce(bytes, 0), coalesce(files, 0), coalesce(reserved, 0) from (${COUNTED}) as counted`)
    }
    return wrong.length
  })
}

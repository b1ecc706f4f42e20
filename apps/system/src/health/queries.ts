import { type ServerDetailsExecutor, systemOutbox } from '@conntext/db-server-details'
import { isNull, min, sql } from 'drizzle-orm'

/** What the outbox still owes: since when the oldest row waits, and how many rows were refused by their receiver. */
export async function outboxState(db: ServerDetailsExecutor): Promise<{ waitingSince: Date | null; refused: number }> {
  const [row] = await db
    .select({
      waitingSince: min(sql<string>`case when ${systemOutbox.refusals} = 0 then ${systemOutbox.createdAt} end`),
      refused: sql<number>`(count(*) filter (where ${systemOutbox.refusals} > 0))::integer`,
    })
    .from(systemOutbox)
    .where(isNull(systemOutbox.deliveredAt))
  return { waitingSince: row?.waitingSince ? new Date(row.waitingSince) : null, refused: row?.refused ?? 0 }
}

import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { sql } from 'drizzle-orm'

/** The last batch of the chain before which, itself included, ClickHouse has everything. */
export async function storedUpTo(db: ServerDetailsExecutor): Promise<number> {
  const [row] = (await db.execute(sql`select coalesce(
    (select min(number) - 1 from audit_pending where acknowledged_at is null),
    (select max(number) from audit_batches),
    0)::int8 as number`)) as unknown as [{ number: string }]
  return Number(row.number)
}

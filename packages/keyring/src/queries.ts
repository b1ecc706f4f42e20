import type { Executor } from '@conntext/database'
import { asc } from 'drizzle-orm'
import type { DataKeyTable } from './table.ts'

export type DataKeyRow = DataKeyTable['$inferSelect']

/** All of them, oldest first. */
export const listDataKeys = (db: Executor, table: DataKeyTable): Promise<DataKeyRow[]> =>
  db.select().from(table).orderBy(asc(table.createdAt), asc(table.id))

export async function insertDataKey(
  db: Executor,
  table: DataKeyTable,
  row: Pick<DataKeyRow, 'id' | 'purpose' | 'wrapped'>,
): Promise<void> {
  await db.insert(table).values(row)
}

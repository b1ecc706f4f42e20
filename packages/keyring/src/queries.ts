import type { Executor } from '@conntext/database'
import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import type { DataKeyTable } from './table.ts'

export type DataKeyRow = DataKeyTable['$inferSelect']

/** All of them, oldest first. */
export const listDataKeys = (db: Executor, table: DataKeyTable): Promise<DataKeyRow[]> =>
  db.select().from(table).orderBy(asc(table.createdAt), asc(table.id))

/** The same, held until the transaction ends. */
export const lockDataKeys = (tx: Executor, table: DataKeyTable): Promise<DataKeyRow[]> =>
  tx.select().from(table).orderBy(asc(table.createdAt), asc(table.id)).for('update')

export async function insertDataKey(
  db: Executor,
  table: DataKeyTable,
  row: Pick<DataKeyRow, 'id' | 'purpose' | 'wrapped'>,
): Promise<void> {
  await db.insert(table).values(row)
}

/** From now on nothing new is sealed under them. */
export async function retireSealKeys(tx: Executor, table: DataKeyTable): Promise<void> {
  await tx
    .update(table)
    .set({ retiredAt: sql`now()` })
    .where(and(eq(table.purpose, 'seal'), isNull(table.retiredAt)))
}

export async function setWrapped(tx: Executor, table: DataKeyTable, id: string, wrapped: Uint8Array): Promise<void> {
  await tx.update(table).set({ wrapped }).where(eq(table.id, id))
}

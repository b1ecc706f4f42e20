import type { Executor } from '@conntext/database'
import { and, asc, eq, gt, isNotNull, ne, type SQL, sql } from 'drizzle-orm'
import type { AnyPgColumn, AnyPgTable } from 'drizzle-orm/pg-core'
import type { Keyring } from './keyring.ts'

/** A column of sealed values, and what each is sealed for. */
export type SealedColumn = {
  table: AnyPgTable
  /** The primary key. */
  id: AnyPgColumn
  value: AnyPgColumn
  dataKeyId: AnyPgColumn
  context(id: unknown): string
}

/** Everything that a service has sealed under its data keys. */
export type SealedPlaces = {
  columns: SealedColumn[]
  /** JSON that holds sealed values for as long as they wait for delivery: too short to seal them anew. */
  documents: AnyPgColumn[]
}

/** Declares a column, with the context as the feature that seals it has it. */
export const sealedColumn = <Id extends AnyPgColumn>(
  column: Omit<SealedColumn, 'id' | 'context'> & { id: Id; context: (id: Id['_']['data']) => string },
): SealedColumn => column as SealedColumn

export type Resealed = {
  /** How many values have been sealed anew. */
  values: number
  /** How many could not be opened; they are as they were. */
  unreadable: number
}

const BATCH = 200
const AT_ONCE = 8
// Longer than anybody goes on sealing who doesn't know that a key was retired.
const KEPT_RETIRED = sql`interval '24 hours'`

/** Seals anew what is under another key than the newest; whoever writes meanwhile wins. */
export async function reseal(db: Executor, keyring: Keyring, keyId: string, places: SealedPlaces): Promise<Resealed> {
  const sum: Resealed = { values: 0, unreadable: 0 }
  for (const column of places.columns) {
    const { values, unreadable } = await resealColumn(db, keyring, keyId, column)
    sum.values += values
    sum.unreadable += unreadable
  }
  return sum
}

type SealedRow = { id: unknown; sealed: Uint8Array; dataKeyId: string }

async function resealColumn(db: Executor, keyring: Keyring, keyId: string, column: SealedColumn): Promise<Resealed> {
  const sum: Resealed = { values: 0, unreadable: 0 }
  let after: unknown
  for (;;) {
    const rows = await nextRows(db, column, keyId, after)
    for (let start = 0; start < rows.length; start += AT_ONCE) {
      const outcomes = await Promise.all(
        rows.slice(start, start + AT_ONCE).map((row) => resealRow(db, keyring, column, row)),
      )
      sum.values += outcomes.filter((outcome) => outcome === 'sealed').length
      sum.unreadable += outcomes.filter((outcome) => outcome === 'unreadable').length
    }
    if (rows.length < BATCH) return sum
    after = rows.at(-1)!.id
  }
}

const nextRows = async (db: Executor, { table, id, value, dataKeyId }: SealedColumn, keyId: string, after: unknown) =>
  (await db
    .select({ id, sealed: value, dataKeyId })
    .from(table)
    .where(and(isNotNull(value), ne(dataKeyId, keyId), after === undefined ? undefined : gt(id, after)))
    .orderBy(asc(id))
    .limit(BATCH)) as SealedRow[]

/** One row at a time, and only if it is still as it was read. */
async function resealRow(
  db: Executor,
  keyring: Keyring,
  { table, id, value, dataKeyId, context }: SealedColumn,
  row: SealedRow,
): Promise<'sealed' | 'unreadable' | 'changed'> {
  const plain = await keyring.open(row, context(row.id)).catch(() => undefined)
  if (!plain) return 'unreadable'
  const anew = keyring.seal(plain, context(row.id))
  const changed = await db
    .update(table)
    .set({ [propertyOf(table, value)]: anew.sealed, [propertyOf(table, dataKeyId)]: anew.dataKeyId })
    .where(and(eq(id, row.id), eq(dataKeyId, row.dataKeyId), eq(value, row.sealed)))
    .returning({ id })
  return changed.length > 0 ? 'sealed' : 'changed'
}

/** What drizzle calls a column in a table's object. */
const propertyOf = (table: AnyPgTable, column: AnyPgColumn): string =>
  Object.entries(table).find(([, one]) => one === column)![0]

/** How many sealed values each data key still opens. */
export async function countSealed(db: Executor, places: SealedPlaces): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const { table, dataKeyId, value } of places.columns) {
    const rows = await db
      .select({ id: dataKeyId, count: sql<number>`count(*)::int` })
      .from(table)
      .where(and(isNotNull(dataKeyId), isNotNull(value)))
      .groupBy(dataKeyId)
    for (const { id, count } of rows) counts.set(String(id), (counts.get(String(id)) ?? 0) + count)
  }
  return counts
}

/**
 * Deletes the keys that were retired more than a day ago and that nothing is sealed under: until then somebody who has
 * not heard of it may still use them. Answers how many.
 */
export async function deleteUnusedKeys(db: Executor, keyring: Keyring, places: SealedPlaces): Promise<number> {
  const { table } = keyring.options
  const unused: SQL[] = [
    ...places.columns.map(
      ({ table: sealed, dataKeyId }) => sql`not exists (select from ${sealed} where ${dataKeyId} = ${table.id})`,
    ),
    ...places.documents.map(
      (document) =>
        sql`not exists (select from ${document.table} where position(${table.id}::text in ${document}::text) > 0)`,
    ),
  ]
  const old = sql`${table.retiredAt} < now() - ${KEPT_RETIRED}`
  const deleted = await db
    .delete(table)
    .where(and(eq(table.purpose, 'seal'), old, ...unused))
    .returning({ id: table.id })
  return deleted.length
}

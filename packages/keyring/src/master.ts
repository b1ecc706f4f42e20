import type { Executor } from '@conntext/database'
import { StartError } from '@conntext/kernel'
import { listDataKeys, lockDataKeys, setWrapped } from './queries.ts'
import type { DataKeyTable } from './table.ts'
import { unwrap, wrap } from './wrapping.ts'

/** One service's data keys. */
export type ServiceKeys = { table: DataKeyTable; service: string }

/** Whether the master key opens all the data keys that there are; undefined where there are none. */
export async function opensDataKeys(
  db: Executor,
  { table, service }: ServiceKeys,
  masterKey: Uint8Array,
): Promise<boolean | undefined> {
  const rows = await listDataKeys(db, table)
  if (rows.length === 0) return undefined
  return rows.every((row) => unwrap([masterKey], service, row) !== undefined)
}

/**
 * Wraps all of a service's data keys, the hash root too, under another master key; what they seal stays as it is.
 * Answers how many.
 * @throws StartError when one can't be opened
 */
export async function rewrapDataKeys(
  tx: Executor,
  { table, service }: ServiceKeys,
  { from, to }: { from: Uint8Array[]; to: Uint8Array },
): Promise<number> {
  const rows = await lockDataKeys(tx, table)
  for (const row of rows) {
    const opened = unwrap(from, service, row)
    if (!opened) throw new StartError(`The master key doesn't open the data key ${row.id} of ${service}.`)
    await setWrapped(tx, table, row.id, wrap(to, service, { id: row.id, key: opened.key }))
  }
  return rows.length
}

/** Whether any of the master keys opens a data key that is not in a database, but in a backup of one. */
export const unwrapsDataKey = (
  masterKeys: Uint8Array[],
  service: string,
  row: { id: string; wrapped: Uint8Array },
): boolean => unwrap(masterKeys, service, row) !== undefined

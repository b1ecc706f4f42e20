import type { Executor } from '@conntext/database'
import type { OutboxTable } from './tables.ts'

/** `id` makes the delivery idempotent for the receiver. */
export type OutboxEntry = { id: string; topic: string; payload: unknown }

/** Writes what is owed in the caller's transaction: it is delivered if, and only if, that commits. */
export async function enqueue(tx: Executor, table: OutboxTable, entries: OutboxEntry[]): Promise<void> {
  if (entries.length > 0) await tx.insert(table).values(entries)
}

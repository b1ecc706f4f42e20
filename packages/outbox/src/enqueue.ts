import type { Executor } from '@conntext/database'
import { currentContext, isTracing } from '@conntext/kernel'
import type { OutboxTable } from './tables.ts'

/** `id` makes the delivery idempotent for the receiver. */
export type OutboxEntry = { id: string; topic: string; payload: unknown }

/** Writes what is owed in the caller's transaction: it is delivered if, and only if, that commits. */
export async function enqueue(tx: Executor, table: OutboxTable, entries: OutboxEntry[]): Promise<void> {
  if (entries.length > 0) await tx.insert(table).values(entries.map(withTrace))
}

/** Where in a payload stands which trace it comes from, while traces are made. */
export const TRACE = '$traceparent'

function withTrace(entry: OutboxEntry): OutboxEntry {
  const traceparent = isTracing() ? currentContext()?.traceparent : undefined
  if (traceparent === undefined) return entry
  return { ...entry, payload: { ...(entry.payload as object), [TRACE]: traceparent } }
}

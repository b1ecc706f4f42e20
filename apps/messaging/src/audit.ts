import { type AuditEvent, auditFor } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { messagingOutbox } from '@conntext/db-communications'
import { enqueue } from '@conntext/outbox'

/** Makes this service's audit events. */
export const messagingAudit = auditFor('messaging')

/** Records events in the transaction of what they tell of. */
export async function recordAudit(tx: Executor, events: AuditEvent[]): Promise<void> {
  const entries = events.map((event) => ({ id: event.id, topic: 'audit', payload: event }))
  await enqueue(tx, messagingOutbox, entries)
}

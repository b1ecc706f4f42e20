import { type AuditActor, type AuditEvent, auditFor, systemActor } from '@conntext/contracts'
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

/** Whoever has deleted their account, as the audit keeps what follows from it. */
export const formerly = (userId: string): AuditActor => ({ ...systemActor, kind: 'user', id: userId })

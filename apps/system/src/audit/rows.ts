import { type AuditEvent, personalFields } from '@conntext/contracts'
import type { EventRow } from '@conntext/db-audit'

export const toRow = (event: AuditEvent, receivedAt: Date): EventRow => ({
  ...splitData(event),
  id: event.id,
  occurred_at: new Date(event.occurredAt).toISOString(),
  received_at: receivedAt.toISOString(),
  service: event.service,
  action: event.action,
  severity: event.severity,
  outcome: event.outcome,
  actor_kind: event.actor.kind,
  actor_id: event.actor.id,
  session_id: event.actor.sessionId,
  address: event.actor.address,
  user_agent: event.actor.userAgent,
  target_kind: event.target.kind,
  target_id: event.target.id,
  reason: event.reason,
  request_id: event.requestId,
  trace_id: event.traceId ?? null,
})

/** The fields of the data that tell of a person stand apart: they can be removed without the rest. */
export function splitData({ action, service, data }: Pick<AuditEvent, 'action' | 'service' | 'data'>) {
  const names = personalFields(service, action)
  const fields = Object.entries(data)
  const personal = fields.filter(([name]) => names.includes(name))
  if (personal.length === 0) return { data: JSON.stringify(data), personal: '' }
  const others = fields.filter(([name]) => !names.includes(name))
  return { data: JSON.stringify(Object.fromEntries(others)), personal: JSON.stringify(Object.fromEntries(personal)) }
}

const parseData = (text: string) => JSON.parse(text) as AuditEvent['data']

// The columns of enumerations hold what ingest has checked.
export const toEvent = (row: EventRow): AuditEvent => ({
  id: row.id,
  occurredAt: row.occurred_at,
  service: row.service as AuditEvent['service'],
  action: row.action,
  severity: row.severity as AuditEvent['severity'],
  outcome: row.outcome as AuditEvent['outcome'],
  actor: {
    kind: row.actor_kind as AuditEvent['actor']['kind'],
    id: row.actor_id,
    sessionId: row.session_id,
    address: row.address,
    userAgent: row.user_agent,
  },
  target: { kind: row.target_kind, id: row.target_id },
  data: { ...parseData(row.data), ...(row.personal === '' ? {} : parseData(row.personal)) },
  reason: row.reason,
  requestId: row.request_id,
  ...(row.trace_id !== null && { traceId: row.trace_id }),
})

import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'

export const AuditSeverity = Enumeration(['info', 'notice', 'warning'])
export const AuditOutcome = Enumeration(['done', 'refused', 'failed'])
export const ServiceName = Enumeration(['gateway', 'auth', 'system', 'messaging', 'realtime'], { title: 'ServiceName' })
export type ServiceName = Static<typeof ServiceName>

export const AuditEvent = Shape('AuditEvent', {
  id: Id,
  occurredAt: Timestamp,
  service: ServiceName,
  action: Type.String({ maxLength: 100 }),
  severity: AuditSeverity,
  outcome: AuditOutcome,
  actor: Fields({
    kind: Enumeration(['user', 'bot', 'system', 'anonymous']),
    id: Nullable(Id),
    sessionId: Nullable(Id),
    address: Nullable(Type.String()),
    userAgent: Nullable(Type.String()),
  }),
  target: Fields({ kind: Type.String(), id: Nullable(Type.String()) }),
  data: Type.Record(Type.String(), Type.Unknown(), { description: 'Ids and changed fields; never bodies or secrets' }),
  reason: Nullable(Type.String()),
  requestId: Nullable(Type.String()),
  traceId: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$', description: 'Where the request was traced' })),
})
export type AuditEvent = Static<typeof AuditEvent>

/** On whose behalf something happens, on its way to the audit. */
export const AuditActor = Fields({
  ...AuditEvent.properties.actor.properties,
  requestId: AuditEvent.properties.requestId,
  reason: AuditEvent.properties.reason,
})
export type AuditActor = Static<typeof AuditActor>

export const AuditEventPage = Page('AuditEventPage', AuditEvent)

/** Newest first. Without `from`, the last 30 days before `to`. */
export const AuditQuery = Fields({
  limit: Limit,
  cursor: Cursor,
  action: Type.Optional(Type.String({ maxLength: 100 })),
  actorId: Type.Optional(Id),
  targetId: Type.Optional(Type.String({ maxLength: 100 })),
  service: Type.Optional(ServiceName),
  outcome: Type.Optional(AuditOutcome),
  severity: Type.Optional(AuditSeverity),
  from: Type.Optional(Timestamp),
  to: Type.Optional(Timestamp),
})
export type AuditQuery = Static<typeof AuditQuery>

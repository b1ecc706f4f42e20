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

const text = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description }))

/** What events can be chosen by, wherever they are listed, counted, exported or followed. */
export const auditFilter = {
  action: text(1000, 'An action, several after commas, or all that begin alike: `member.*`'),
  actorId: Type.Optional(Id),
  actorKind: Type.Optional(AuditEvent.properties.actor.properties.kind),
  targetId: text(100, 'What it was done to'),
  targetKind: text(100, 'Such as `user` or `channel`'),
  sessionId: Type.Optional(Id),
  address: text(64, 'An IP address, or a network such as `192.0.2.0/24`'),
  requestId: text(128, "The request's id"),
  reason: text(200, 'A text within the reason, in upper or lower case'),
  service: Type.Optional(ServiceName),
  outcome: Type.Optional(AuditOutcome),
  severity: Type.Optional(AuditSeverity),
  minSeverity: Type.Optional({ ...AuditSeverity, description: 'This severity or a graver one' }),
}

/** Newest first. Without `from`, the last 30 days before `to`. */
export const AuditQuery = Fields({
  limit: Limit,
  cursor: Cursor,
  ...auditFilter,
  from: Type.Optional(Timestamp),
  to: Type.Optional(Timestamp),
})
export type AuditQuery = Static<typeof AuditQuery>

import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'

export const AuditSeverity = Type.Union([Type.Literal('info'), Type.Literal('notice'), Type.Literal('warning')])
export const AuditOutcome = Type.Union([Type.Literal('done'), Type.Literal('refused'), Type.Literal('failed')])
export const ServiceName = Type.Union(
  (['gateway', 'auth', 'system', 'messaging', 'realtime'] as const).map((name) => Type.Literal(name)),
)
export type ServiceName = Static<typeof ServiceName>

export const AuditEvent = Shape('AuditEvent', {
  id: Id,
  occurredAt: Timestamp,
  service: ServiceName,
  action: Type.String({ maxLength: 100 }),
  severity: AuditSeverity,
  outcome: AuditOutcome,
  actor: Fields({
    kind: Type.Union([Type.Literal('user'), Type.Literal('bot'), Type.Literal('system'), Type.Literal('anonymous')]),
    id: Nullable(Id),
    sessionId: Nullable(Id),
    address: Nullable(Type.String()),
    userAgent: Nullable(Type.String()),
  }),
  target: Fields({ kind: Type.String(), id: Nullable(Type.String()) }),
  data: Type.Record(Type.String(), Type.Unknown(), { description: 'Ids and changed fields; never bodies or secrets' }),
  reason: Nullable(Type.String()),
  requestId: Nullable(Type.String()),
})
export type AuditEvent = Static<typeof AuditEvent>
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

import { currentContext, newId, traceIdOf } from '@conntext/kernel'
import type { Static, TObject } from '@sinclair/typebox'
import type { AuditActor, AuditEvent } from './api/audit.ts'
import { authActions } from './audit/auth.ts'
import type { Declaration } from './audit/declare.ts'
import { messagingActions } from './audit/messaging.ts'
import { realtimeActions } from './audit/realtime.ts'
import { systemActions } from './audit/system.ts'

/** For what the server does by itself. */
export const systemActor: AuditActor = {
  kind: 'system',
  id: null,
  sessionId: null,
  address: null,
  userAgent: null,
  requestId: null,
  reason: null,
}

/**
 * Every action that is audited, by the service that records it. Data holds ids and changed fields; never bodies,
 * secrets or tokens.
 */
export const auditCatalogue = {
  auth: authActions,
  system: systemActions,
  messaging: messagingActions,
  realtime: realtimeActions,
} as const

type Catalogue = typeof auditCatalogue
type Declarations<S extends keyof Catalogue> = Catalogue[S]['declarations']

/** Which fields of an event's data tell of the account that is its target. */
export function personalFields(service: string, action: string): readonly string[] {
  if (!Object.hasOwn(auditCatalogue, service)) return []
  const { declarations } = auditCatalogue[service as keyof Catalogue] as { declarations: Record<string, Declaration> }
  return Object.hasOwn(declarations, action) ? (declarations[action]!.personal ?? []) : []
}

/** Makes audit events of one service: typed by the catalogue, ready for its outbox. */
export function auditFor<S extends keyof Catalogue>(service: S) {
  return <A extends keyof Declarations<S> & string>(
    action: A,
    actor: AuditActor,
    targetId: string | null,
    data: Declarations<S>[A] extends { data: infer D extends TObject } ? Static<D> : never,
  ): AuditEvent => {
    const declaration = (auditCatalogue[service].declarations as Record<string, Declaration>)[action]!
    const { requestId, reason, ...who } = actor
    const context = currentContext()
    const traceId = traceIdOf(context?.traceparent)
    return {
      id: newId(),
      occurredAt: new Date().toISOString(),
      service,
      action,
      severity: declaration.severity ?? 'info',
      outcome: declaration.outcome ?? 'done',
      actor: who,
      target: { kind: declaration.target, id: targetId },
      data,
      reason,
      // What a service does by itself because of a request belongs to it as well.
      requestId: requestId ?? context?.requestId ?? null,
      ...(traceId && { traceId }),
    }
  }
}

/** The changed fields of a patch, before and after; undefined when nothing changed. */
export function changedFields<T extends object>(before: T, patch: Partial<T>) {
  const changed = Object.entries(patch).flatMap(([key, to]) => {
    const from = before[key as keyof T]
    return to === undefined || Bun.deepEquals(from, to)
      ? []
      : [[key, { from: from as unknown, to: to as unknown }] as const]
  })
  return changed.length > 0 ? { changes: Object.fromEntries(changed) } : undefined
}

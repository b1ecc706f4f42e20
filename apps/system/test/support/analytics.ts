import { type AuditEvent, auditFor, systemActor } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { type Caller, startSystem } from './system.ts'

export const actors = [newId(), newId(), newId()]
export const target = newId()
const START = Date.UTC(2026, 0, 10, 23, 30)
export const window = { from: '2026-01-10T00:00:00Z', to: '2026-01-14T12:00:00Z' }

export const make = (fields: Partial<AuditEvent> = {}): AuditEvent => ({
  ...auditFor('auth')('role.deleted', { ...systemActor, kind: 'user', id: newId() }, newId(), { name: 'x' }),
  ...fields,
})
export const hostile = '=HYPERLINK("http://example.org";"x")'

/** A trail of ninety events of all kinds, and who asks about it. */
export async function startAnalytics() {
  const system = await startSystem()
  const auditor = await system.member('audit.view')
  const administrator = await system.member('administrator')
  const member = await system.member()
  const events = Array.from({ length: 90 }, (_, i) =>
    make({
      occurredAt: new Date(START + i * 3_000_000).toISOString(),
      action: ['member.kicked', 'member.banned', 'role.created'][i % 3]!,
      severity: (['info', 'notice', 'warning'] as const)[i % 3]!,
      actor: {
        kind: i % 2 ? 'user' : 'bot',
        id: actors[i % 3]!,
        sessionId: null,
        address: i % 2 ? `192.0.2.${i}` : `2001:db8::${i}`,
        userAgent: i === 7 ? '@SUM(A1)' : i === 8 ? '＝1+1' : 'agent/1, "quoted"',
      },
      target: { kind: 'user', id: i < 45 ? target : newId() },
      data: i % 10 ? {} : { list: [1, 'ü ☃', null], text: 'tab\tnew\nline / \\ "q"' },
      reason: i === 5 ? hostile : i === 6 ? 'Spam, of course' : null,
      requestId: `r-${i}`,
      ...(i === 3 ? { traceId: 'ab'.repeat(16) } : {}),
    }),
  )
  await system.port.ingestAudit({ events })
  return {
    ...{ system, auditor, administrator, member, events },
    get: (path: string, query: Record<string, string> = {}, caller: Caller = auditor) =>
      system.call('GET', `${path}?${new URLSearchParams(query)}`, caller),
    fetchRaw: (path: string, caller: Caller = auditor, init: RequestInit = {}) =>
      system.service.app.handle(
        new Request(`http://localhost${path}`, {
          ...init,
          headers: { authorization: `Bearer ${caller!.token}`, ...init.headers },
        }),
      ),
  }
}
export type Analytics = Awaited<ReturnType<typeof startAnalytics>>

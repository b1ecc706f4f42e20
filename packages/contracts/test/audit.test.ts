import { describe, expect, test } from 'bun:test'
import { isId } from '@conntext/kernel'
import { Value } from '@sinclair/typebox/value'
import { type AuditActor, AuditEvent, auditCatalogue, auditFor, changedFields, systemActor } from '../src/index.ts'
import './support/formats.ts'

const actor: AuditActor = {
  kind: 'user',
  id: '01a20675-c9c6-7677-b1e0-5d965a0ce64c',
  sessionId: '01a20675-c9ca-72c6-a1aa-b3e3fdece03c',
  address: '192.0.2.1',
  userAgent: 'test',
  requestId: 'request-1',
  reason: 'because',
}

describe('an audit event', () => {
  test('is complete, and splits the actor from the request', () => {
    const { requestId, reason, ...who } = actor
    const event = auditFor('auth')('role.deleted', actor, 'role-1', { name: 'a' })
    expect(event).toEqual({
      id: event.id,
      occurredAt: event.occurredAt,
      service: 'auth',
      action: 'role.deleted',
      severity: 'info',
      outcome: 'done',
      actor: who,
      target: { kind: 'role', id: 'role-1' },
      data: { name: 'a' },
      reason,
      requestId,
    })
    expect(isId(event.id)).toBe(true)
    expect(Math.abs(Date.parse(event.occurredAt) - Date.now())).toBeLessThan(60_000)
    expect([...Value.Errors(AuditEvent, event)]).toEqual([])
  })

  test('has the severity and the outcome that its declaration names', () => {
    const failed = auditFor('auth')('login.failed', systemActor, null, { code: 'x' } as never)
    expect(failed).toMatchObject({ severity: 'notice', outcome: 'failed', target: { kind: 'user', id: null } })
    const reused = auditFor('auth')('session.refreshReused', systemActor, 's', { userId: 'u' })
    expect(reused).toMatchObject({ severity: 'warning', outcome: 'refused' })
    expect([...Value.Errors(AuditEvent, reused)]).toEqual([])
  })
})

describe('the catalogue', () => {
  const entries = Object.entries(auditCatalogue).flatMap(([service, { declarations, service: named }]) =>
    Object.entries(declarations).map(([action, declaration]) => ({ service, named, action, declaration })),
  )

  test.each(entries)('$service $action is well-formed', ({ service, named, action, declaration }) => {
    expect(named as string).toBe(service)
    expect(action).toMatch(/^[a-z][a-zA-Z]*\.[a-z][a-zA-Z]*$/)
    expect(action.length).toBeLessThanOrEqual(100)
    expect(declaration.target).toMatch(/^[a-z][a-zA-Z]*$/)
    expect(declaration.title).toMatch(/^[A-Z].*[^.]$/)
    expect(declaration.data.additionalProperties).toBe(false)
  })

  test('lets no action carry a secret or a body', () => {
    const fields = entries.flatMap(({ declaration }) => Object.keys(declaration.data.properties))
    for (const field of ['password', 'token', 'content', 'email', 'setupCode', 'refreshToken']) {
      expect(fields).not.toContain(field)
    }
  })
})

describe('changed fields', () => {
  const before = { name: 'a', topic: null as string | null, permissions: ['x', 'y'], position: 1 }

  test('are those of the patch that differ, before and after', () => {
    expect(changedFields(before, { name: 'b', topic: 'new', position: 1 })).toEqual({
      changes: { name: { from: 'a', to: 'b' }, topic: { from: null, to: 'new' } },
    })
  })

  test('compare by content, and null is a value', () => {
    expect(changedFields(before, { permissions: ['x', 'y'] })).toBeUndefined()
    expect(changedFields(before, { permissions: ['y', 'x'] })?.changes).toHaveProperty('permissions')
    expect(changedFields({ topic: 'a' as string | null }, { topic: null })?.changes).toEqual({
      topic: { from: 'a', to: null },
    })
  })

  test('are undefined when nothing changes, or nothing is asked', () => {
    expect(changedFields(before, {})).toBeUndefined()
    expect(changedFields(before, { name: 'a' })).toBeUndefined()
    expect(changedFields(before, { name: undefined } as never)).toBeUndefined()
  })
})

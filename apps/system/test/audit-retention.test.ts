import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  type AuditEvent,
  type AuditRetention,
  auditCatalogue,
  auditCategoryNames,
  auditFor,
  systemActor,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { createSigners } from '../src/audit/chain/keys.ts'
import { verifyLog } from '../src/audit/chain/verify.ts'
import { actionsOf } from '../src/audit/retention/categories.ts'
import { cutExpired } from '../src/audit/retention/service.ts'
import { systemKeys } from '../src/keys.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
let auditor: Caller
beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('audit.view', 'system.manage')
  auditor = await system.member('audit.view')
})
afterAll(() => system[Symbol.asyncDispose]())

const FOREVER = { security: null, administration: null, moderation: null, accounts: null, reads: null, activity: null }
const put = (body: object, caller: Caller = manager) => system.call('PUT', '/v1/audit/retention', caller, body)
const policy = async () => {
  const { body } = await system.call('GET', '/v1/audit/retention', auditor)
  return Object.fromEntries((body as AuditRetention).categories.map(({ name, days }) => [name, days]))
}

test('everything is kept for ever until somebody says otherwise, and every action is in one category', async () => {
  expect(await policy()).toEqual(FOREVER)
  const all = Object.values(auditCatalogue).flatMap(({ declarations }) => Object.keys(declarations))
  expect(auditCategoryNames.flatMap((name) => actionsOf[name]).sort()).toEqual([...new Set(all)].sort())
})

describe('PUT /v1/audit/retention', () => {
  test('is recorded with what was before and after, and not when nothing changes', async () => {
    expect(await put({ ...FOREVER, accounts: 30 })).toMatchObject({ status: 200 })
    expect(await put({ ...FOREVER, accounts: 60, reads: 30 }, manager)).toMatchObject({ status: 200 })
    expect(await put({ ...FOREVER, accounts: 60, reads: 30 })).toMatchObject({ status: 200 })
    expect(await policy()).toEqual({ ...FOREVER, accounts: 60, reads: 30 })
    const trail = await system.trail('audit.retentionChanged', 2)
    expect(trail.map(({ data }) => data)).toEqual([
      { changes: { accounts: { from: 30, to: 60 }, reads: { from: null, to: 30 } } },
      { changes: { accounts: { from: null, to: 30 } } },
    ])
    await put(FOREVER)
  })

  test('has a minimum for each category, and no unknown ones', async () => {
    const { status, body } = await put({ ...FOREVER, security: 89, accounts: 29, activity: 1 })
    expect({ status, body }).toMatchObject({
      status: 422,
      body: { code: 'audit.retentionTooShort', errors: [{ path: '/body/security' }, { path: '/body/accounts' }] },
    })
    for (const bad of [{}, { ...FOREVER, extra: 1 }, { ...FOREVER, reads: 0 }, { ...FOREVER, reads: '30' }]) {
      expect(await put(bad)).toMatchObject({ status: 422 })
    }
    expect(await policy()).toEqual(FOREVER)
  })

  test('is for who runs the server', async () => {
    expect(await put(FOREVER, auditor)).toMatchObject({ status: 403 })
    expect(await system.call('PUT', '/v1/audit/retention', undefined, FOREVER)).toMatchObject({ status: 401 })
    expect(await system.call('GET', '/v1/audit/retention')).toMatchObject({ status: 401 })
    expect(await system.call('GET', '/v1/audit/retention', await system.member())).toMatchObject({ status: 403 })
  })
})

test('what is kept no longer goes, and the rest is proven as before', async () => {
  const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString()
  const make = (action: string, days: number, more: Partial<AuditEvent> = {}): AuditEvent => ({
    ...auditFor('auth')('role.deleted', systemActor, newId(), { name: 'x' }),
    action,
    occurredAt: daysAgo(days),
    ...more,
  })
  const events = {
    old: make('session.created', 61),
    young: make('session.created', 59),
    failed: make('login.failed', 61, { outcome: 'failed', severity: 'notice' }),
    oldFailed: make('login.failed', 101, { outcome: 'failed', severity: 'notice' }),
    grave: make('session.refreshReused', 61, { outcome: 'refused', severity: 'warning' }),
    other: make('role.created', 500),
    unknown: make('gone.fromTheCatalogue', 500),
  }
  await system.port.ingestAudit({ events: Object.values(events) })
  await put({ ...FOREVER, accounts: 60, security: 100, activity: 1 })
  const keyring = new Keyring({ ...systemKeys, ...system.deps })
  await system.deps.db.transaction((tx) => keyring.load(tx))
  const deps = { ...system.deps, clock: system.clock, keyring, signers: createSigners(keyring) }
  const cuts = await Promise.all([cutExpired(deps), cutExpired(deps)])
  expect(cuts.reduce((a, b) => a + b)).toBe(2)
  expect(await cutExpired(deps)).toBe(0)
  for (const [name, event] of Object.entries(events)) {
    const { status } = await system.call('GET', `/v1/audit/events/${event.id}`, auditor)
    expect({ name, status }).toEqual({ name, status: name === 'old' || name === 'oldFailed' ? 404 : 200 })
  }
  // The chain tells its own cuts from tampering.
  expect((await verifyLog(deps, {})).findings).toEqual([])
  const facets = await system.call('GET', `/v1/audit/facets?from=2000-01-01T00:00:00Z&action=session.created`, auditor)
  expect(facets.body).toMatchObject({ total: 1 })
  await put(FOREVER)
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { subjects } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { operateMaintenance } from '../src/admin.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

const PATH = '/v1/system/maintenance'

let system: System
let admin: Caller
let viewer: Caller
beforeAll(async () => {
  system = await startSystem()
  admin = await system.member('system.manage', 'system.view')
  viewer = await system.member('system.view')
})
afterAll(() => system[Symbol.asyncDispose]())

const server = async () => (await system.call('GET', '/v1/server')).body as { maintenance: unknown }
const off = () => system.call('PUT', PATH, admin, { enabled: false })

test('it begins and ends for everybody, with who, since when and what for, and is recorded', async () => {
  const told: string[] = []
  const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
  const until = new Date(system.clock.now().getTime() + 600_000).toISOString()
  const over = { enabled: false, message: null, since: null, until: null, by: null }
  expect(await system.call('GET', PATH, viewer)).toMatchObject({ status: 200, body: over })

  const body = { enabled: true, message: ' We move house. ', until }
  const begun = await system.call('PUT', PATH, admin, body, { 'x-audit-reason': 'new disks' })
  const since = expect.any(String)
  const state = { enabled: true, message: 'We move house.', since, until, by: admin!.userId }
  expect(begun).toMatchObject({ status: 200, body: state })
  expect(told).toEqual(['{}'])
  expect((await system.call('GET', PATH, viewer)).body).toEqual(begun.body)
  const shown = { message: 'We move house.', since, until }
  expect((await server()).maintenance).toEqual(shown)
  expect(system.heard.at(-1)).toMatchObject({ t: 'server.updated', d: { maintenance: shown } })

  const later = await system.call('PUT', PATH, admin, { enabled: true })
  expect(later.body).toEqual({ ...(begun.body as object), message: null, until: null })
  expect((await off()).body).toEqual(over)
  expect((await server()).maintenance).toBeNull()
  await end()

  const [ended, changed, began] = await system.trail('system.maintenanceChanged', 3)
  expect(began).toMatchObject({
    actor: { id: admin!.userId },
    reason: 'new disks',
    severity: 'notice',
    data: { changes: { enabled: { from: false, to: true }, message: { from: null, to: 'We move house.' } } },
  })
  expect(changed!.data.changes).not.toHaveProperty('enabled')
  expect(ended).toMatchObject({ data: { changes: { enabled: { from: true, to: false } } } })
})

test('what changes nothing leaves no trace', async () => {
  const told: string[] = []
  const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
  expect(await off()).toMatchObject({ status: 200 })
  await end()
  expect(told).toEqual([])
})

test('it takes the permission, and a body that makes sense', async () => {
  expect(await system.call('GET', PATH)).toMatchObject({ status: 401 })
  expect(await system.call('GET', PATH, await system.member())).toMatchObject({ status: 403 })
  expect(await system.call('PUT', PATH, undefined, { enabled: true })).toMatchObject({ status: 401 })
  expect(await system.call('PUT', PATH, viewer, { enabled: true })).toMatchObject({ status: 403 })
  for (const body of [
    {},
    { enabled: 'yes' },
    { enabled: true, until: 'soon' },
    { enabled: true, message: 'x'.repeat(501) },
  ]) {
    expect(await system.call('PUT', PATH, admin, body)).toMatchObject({
      status: 422,
      body: { code: 'request.invalid' },
    })
  }
  const past = { enabled: true, until: '2020-01-01T00:00:00Z' }
  expect(await system.call('PUT', PATH, admin, past)).toMatchObject({
    status: 422,
    body: { code: 'maintenance.overAlready' },
  })
  expect((await server()).maintenance).toBeNull()
})

test('what the operator says beside the server is said to everybody by its outbox', async () => {
  const told: string[] = []
  const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
  await operateMaintenance(system.databases.system, { enabled: true, message: 'By hand' })
  await eventually(() => told.length > 0)
  await end()
  const news = await eventually(() => system.heard.find(({ d }) => JSON.stringify(d).includes('By hand')))
  expect(news).toMatchObject({ t: 'server.updated', d: { maintenance: { message: 'By hand' } } })
  expect((await system.call('GET', PATH, viewer)).body).toMatchObject({ enabled: true, by: null })
  const events = await system.trail('system.maintenanceChanged', 4)
  expect(events[0]).toMatchObject({ actor: { kind: 'system', id: null } })
  await off()
})

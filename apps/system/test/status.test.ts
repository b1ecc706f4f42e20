import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { SystemHealth, SystemStatus } from '@conntext/contracts'
import { auditMigrations } from '@conntext/db-audit'
import { knownServerDetailsMigrations } from '@conntext/db-server-details'
import { createBeacon } from '@conntext/http'
import { LogThreshold, silentLogger } from '@conntext/kernel'
import { createRegistry } from '@conntext/runtime'
import { eventually } from '@conntext/testing'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let viewer: Caller
let beacon: ReturnType<typeof createBeacon>

beforeAll(async () => {
  system = await startSystem()
  viewer = await system.member('system.view')
  const registry = createRegistry()
  const logging = new LogThreshold('warn')
  beacon = createBeacon({ service: 'server', version: '1.2.3', bus: system.bus, registry, log: silentLogger, logging })
  await beacon.start()
})
afterAll(async () => {
  await system.service.logs.stop()
  await system[Symbol.asyncDispose]()
})

const status = async () => (await system.call('GET', '/v1/system/status', viewer)).body as SystemStatus

test('the status names the processes that say that they are there, and how much there is', async () => {
  expect(await status()).toMatchObject({
    version: '1.2.3',
    processes: [{ service: 'server', pid: process.pid, away: false, version: '1.2.3', logLevel: 'warn' }],
    counts: { channels: 1 },
  })
})

const metrics = () =>
  system.service.app.handle(
    new Request('http://localhost/v1/system/metrics', { headers: { authorization: `Bearer ${viewer!.token}` } }),
  )

test('figures come from all of them, with where they come from, under one heading each', async () => {
  const answer = await metrics()
  expect(answer.headers.get('content-type')).toStartWith('text/plain')
  expect(answer.headers.get('x-missing-instances')).toBeNull()
  const text = await answer.text()
  expect(text.match(/^# TYPE conntext_operations_total counter$/gm)).toHaveLength(1)
  expect(text).toMatch(/conntext_operations_total\{[^}]*operation="getSystemStatus"[^}]*process="server"[^}]*\} \d/)
})

test('a process whose clock is wrong, and one that fell silent, are told in the health', async () => {
  const alive = { ...beacon.self, instance: 'elsewhere/7', service: 'messaging' }
  const says = (at: number) =>
    system.bus.publish('process.alive', JSON.stringify({ ...alive, at: new Date(at).toISOString() }))
  await says(Date.now() + 3_600_000)
  // Clocks are compared seldom, and may just have been.
  await eventually(async () => {
    const health = (await system.call('GET', '/v1/system/health', viewer)).body as SystemHealth
    const clocks = health.services
      .find(({ service }) => service === 'system')
      ?.dependencies.find(({ name }) => name === 'clocks')
    return clocks?.state === 'degraded' && clocks.detail?.includes('messaging elsewhere/7: +36')
  }, 40_000)
  const figures = await (await metrics()).text()
  expect(figures).toMatch(/conntext_dependency_state\{[^}]*dependency="clocks"[^}]*\} 1/)
  expect(figures).toMatch(/conntext_dependency_state\{[^}]*dependency="postgres"[^}]*\} 0/)
  // Chat goes on: nothing of it is a reason to send requests elsewhere.
  expect((await system.service.readiness()).state).toBe('degraded')
}, 60_000)

test('one that says goodbye is gone at once', async () => {
  await beacon.stop()
  expect((await status()).processes.map(({ service }) => service)).toEqual(['messaging'])
})

test.each(['status', 'metrics'])('%s is for those alone who may', async (name) => {
  expect((await system.call('GET', `/v1/system/${name}`)).status).toBe(401)
  expect((await system.call('GET', `/v1/system/${name}`, await system.member('audit.view'))).status).toBe(403)
})

test('the health says of which release it is, since when it is so, and how far the schemas are', async () => {
  const look = async () => (await system.call('GET', '/v1/system/health', viewer)).body as SystemHealth
  const first = await look()
  expect(first).toMatchObject({ version: '1.2.3', uptimeSeconds: expect.any(Number) as number })
  expect(Date.parse(first.startedAt)).toBeLessThan(Date.now())
  const [own] = first.services
  const expected = { server_details: knownServerDetailsMigrations().length, audit: auditMigrations.length }
  expect(own!.schemas).toEqual([
    { database: 'server_details', applied: expected.server_details, expected: expected.server_details },
    { database: 'audit', applied: expected.audit, expected: expected.audit },
  ])
  const again = await look()
  if (again.state === first.state) expect(again.since).toBe(first.since)
})

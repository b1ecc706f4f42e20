import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Bus } from '@conntext/bus'
import type { SettingsChange, SystemStatus } from '@conntext/contracts'
import { insertLogs, logDays } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { createBeacon } from '@conntext/http'
import { createLogger, type LogLevel, LogThreshold, newId, silentLogger } from '@conntext/kernel'
import { createRegistry } from '@conntext/runtime'
import { eventually } from '@conntext/testing'
import { createLogTeller } from '../src/logs/obeying.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

const PATH = '/v1/logs/settings'
const DAY_MS = 86_400_000

let system: System
let admin: Caller
let viewer: Caller
beforeAll(async () => {
  system = await startSystem()
  admin = await system.member('system.manage', 'system.view', 'server.manage')
  viewer = await system.member('system.view')
})
afterAll(() => system[Symbol.asyncDispose]())

const patch = (body: object, caller: Caller = admin, headers = {}) => system.call('PATCH', PATH, caller, body, headers)

/** Another process of the deployment, on the same bus. */
async function startProcess(own: LogLevel) {
  const logging = new LogThreshold(own)
  const lines: string[] = []
  const log = createLogger({ service: 'messaging', level: logging, write: (line) => lines.push(line) })
  const about = { service: 'messaging', version: '1.2.3', bus: system.bus, registry: createRegistry() }
  const beacon = createBeacon({ ...about, log: silentLogger, logging })
  await beacon.start()
  return { logging, log, lines, stop: () => beacon.stop() }
}

test('processes that run, and those that come later, log as much as is wanted, and as before when it is taken back', async () => {
  const early = await startProcess('warn')
  early.log.debug({}, 'before')
  const answer = await patch({ level: 'debug' }, admin, { 'x-audit-reason': 'what is it that fails' })
  expect(answer).toMatchObject({ status: 200, body: { level: 'debug', retentionDays: 14 } })
  await eventually(() => early.logging.current === 'debug')
  early.log.debug({}, 'after')
  expect(early.lines.map((line) => JSON.parse(line).msg)).toEqual(['after'])
  await early.stop()

  const late = await startProcess('error')
  await eventually(() => late.logging.current === 'debug')
  const { body } = await system.call('GET', '/v1/system/status', viewer)
  expect((body as SystemStatus).processes).toMatchObject([{ service: 'messaging', logLevel: 'debug' }])
  expect((await system.call('GET', PATH, viewer)).body).toEqual(answer.body)

  const [change] = (
    (await system.call('GET', '/v1/server/history', admin)).body as { items: [SettingsChange, ...SettingsChange[]] }
  ).items
  expect(change).toMatchObject({
    reason: 'what is it that fails',
    changes: { logLevel: { from: null, to: 'debug' } },
  })
  const manager = await system.member('server.manage')
  const restore = (caller: Caller) => system.call('POST', `/v1/server/history/${change.id}/restore`, caller)
  expect(await restore(manager)).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
  expect(await restore(admin)).toMatchObject({ status: 200 })
  await eventually(() => late.logging.current === 'error')
  expect((await system.call('GET', PATH, viewer)).body).toMatchObject({ level: null })
  await late.stop()
  const [taken, made] = await system.trail('logs.settingsChanged', 2)
  expect(made).toMatchObject({ severity: 'notice', data: { changes: { logLevel: { from: null, to: 'debug' } } } })
  expect(taken).toMatchObject({ data: { changes: { logLevel: { from: 'debug', to: null } } } })
})

test('an instance that did not make the change does not tell the old', async () => {
  const other = await system.another()
  const process = await startProcess('warn')
  await patch({ level: 'info' })
  await eventually(() => process.logging.current === 'info')
  // It speaks again, and both instances hear it.
  await system.bus.publish('process.ask', JSON.stringify({ id: '', want: 'alive' }))
  await patch({ level: null })
  await eventually(() => process.logging.current === 'warn')
  await other.service.stop()
  expect(process.logging.told).toBeNull()
  await process.stop()
})

/** Tells nobody but the test, and finds no database while it is `isAway`. */
function startTeller(tell: (level: LogLevel | null) => Promise<void> = async () => {}) {
  const told: (LogLevel | null)[] = []
  const state = { isAway: false }
  const bus = {
    async publish(_: string, payload: string) {
      const { level } = JSON.parse(payload)
      told.push(level)
      await tell(level)
    },
  } as Bus
  const select = (...fields: []) => {
    if (state.isAway) throw new Error('away')
    return system.databases.system.select(...fields)
  }
  const db = { select } as unknown as ServerDetails
  return { told, state, teller: createLogTeller({ db, bus, log: silentLogger }) }
}

test('what is changed while the change before it is being told is told as well', async () => {
  const begun = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const { told, teller } = startTeller(() => {
    begun.resolve()
    return gate.promise
  })
  await patch({ level: 'info' })
  void teller.tell()
  await begun.promise
  await patch({ level: 'debug' })
  const telling = teller.tell()
  gate.resolve()
  await telling
  await teller.settled()
  expect(told).toEqual(['info', 'debug'])
})

test('a change that could not be told is told when a process speaks that was told something else', async () => {
  const { told, state, teller } = startTeller()
  await patch({ level: 'debug' })
  await teller.tell()
  await patch({ level: 'warn' })
  state.isAway = true
  await teller.tell()
  state.isAway = false
  teller.heard('debug')
  await teller.settled()
  expect(told).toEqual(['debug', 'warn'])
  teller.heard('warn')
  await teller.settled()
  expect(told).toEqual(['debug', 'warn'])
  await patch({ level: null })
})

test('days that are kept no longer go at once; the rest stays', async () => {
  const day = (ago: number) => new Date(Date.now() - ago * DAY_MS).toISOString().slice(0, 10)
  const line = (ago: number) => ({
    ...{ id: newId(), at: `${day(ago)}T12:00:00.000Z`, service: 'auth', instance: 'here', level: 'info' as const },
    ...{ message: 'x', request_id: null, trace_id: null, fields: '{}' },
  })
  await insertLogs(system.audit, [line(1), line(5), line(40)])
  expect(await patch({ retentionDays: 30 })).toMatchObject({ status: 200, body: { retentionDays: 30 } })
  await eventually(async () => !(await logDays(system.audit)).includes(day(40)))
  expect(await logDays(system.audit)).toEqual([day(5), day(1)])
  await patch({ retentionDays: 3 })
  await eventually(async () => !(await logDays(system.audit)).includes(day(5)))
  expect(await logDays(system.audit)).toEqual([day(1)])
})

test('it takes the permission and what makes sense; what changes nothing leaves no trace', async () => {
  const count = async () =>
    ((await system.call('GET', '/v1/server/history', admin)).body as { items: unknown[] }).items.length
  const before = await count()
  expect(await patch({ level: null })).toMatchObject({ status: 200 })
  expect(await patch({})).toMatchObject({ status: 200 })
  expect(await count()).toBe(before)
  await patch({ level: null })
  expect(await system.call('PATCH', PATH, undefined, {})).toMatchObject({ status: 401 })
  expect(await system.call('GET', PATH)).toMatchObject({ status: 401 })
  expect(await patch({ level: 'debug' }, viewer)).toMatchObject({ status: 403 })
  expect(await system.call('GET', PATH, await system.member())).toMatchObject({ status: 403 })
  for (const body of [{ level: 'silent' }, { level: 7 }, { retentionDays: 0 }, { retentionDays: 367 }, { days: 1 }]) {
    expect(await patch(body)).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  }
})

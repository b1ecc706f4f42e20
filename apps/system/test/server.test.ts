import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { subjects } from '@conntext/contracts'
import { serverSettings } from '@conntext/db-server-details'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
let member: Caller

beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('server.manage')
  member = await system.member()
})
afterAll(() => system[Symbol.asyncDispose]())

const version = async () => (await system.databases.system.select().from(serverSettings))[0]!.version

describe('a new server', () => {
  test('says to anybody what it is', async () => {
    await using fresh = await startSystem()
    expect(await fresh.call('GET', '/v1/server')).toMatchObject({
      status: 200,
      body: {
        name: 'ConnText',
        description: null,
        registrationMode: 'invite',
        limits: { maxMessageLength: 4000, maxFileBytes: 524_288_000, maxMediaPerMessage: 10 },
      },
    })
    expect(await fresh.port.registrationMode({})).toEqual({ mode: 'invite' })
  })

  test('has one text channel, and starting again, twice at once, adds nothing but its record', async () => {
    await using fresh = await startSystem()
    const [second, third] = await Promise.all([fresh.another(), fresh.another()])
    const started = await fresh.trail('system.started', 3)
    expect(started).toHaveLength(3)
    expect(started[0]).toMatchObject({ actor: { kind: 'system', id: null }, data: { version: '1.2.3' } })
    expect(await fresh.trail('channel.created')).toMatchObject([{ data: { name: 'general', type: 'text' } }])
    await Promise.all([second.service.stop(), third.service.stop()])
  })
})

describe('PATCH /v1/server', () => {
  test('changes what is given, tells everybody, and records what it was before', async () => {
    const before = await version()
    const told: string[] = []
    const end = await system.bus.subscribe(subjects.authority, (payload) => told.push(payload))
    const patch = { name: ' Ours ', registrationMode: 'open', limits: { maxMessageLength: 500 } }
    const changed = await system.call('PATCH', '/v1/server', manager, patch, { 'x-audit-reason': 'spring' })
    expect(changed).toMatchObject({
      status: 200,
      body: { name: 'Ours', registrationMode: 'open', limits: { maxMessageLength: 500, maxMediaPerMessage: 10 } },
    })
    await end()
    expect(told).toEqual(['{}'])
    expect((await system.call('GET', '/v1/server')).body).toEqual(changed.body)
    expect(await version()).toBe(before + 1)
    expect(system.heard.at(-1)).toMatchObject({ t: 'server.updated', d: changed.body })
    const [event] = await system.trail('server.updated')
    expect(event).toMatchObject({
      actor: { kind: 'user', id: manager!.userId },
      reason: 'spring',
      data: {
        changes: {
          name: { from: 'ConnText', to: 'Ours' },
          registrationMode: { from: 'invite', to: 'open' },
          maxMessageLength: { from: 4000, to: 500 },
        },
      },
    })
  })

  test('what changes nothing leaves no trace', async () => {
    const before = await version()
    const { body } = await system.call('GET', '/v1/server')
    const { name } = body as { name: string }
    expect(await system.call('PATCH', '/v1/server', manager, { name })).toMatchObject({ status: 200, body })
    expect(await system.call('PATCH', '/v1/server', manager, {})).toMatchObject({ status: 200, body })
    expect(await version()).toBe(before)
  })

  test.each([
    { name: '' },
    { name: '   ' },
    { registrationMode: 'maybe' },
    { limits: { maxMessageLength: 0 } },
    { limits: { unknown: 1 } },
    { version: 9 },
  ])('%j is refused', async (patch) => {
    expect(await system.call('PATCH', '/v1/server', manager, patch)).toMatchObject({ status: 422 })
  })

  test('is for those alone who may', async () => {
    expect(await system.call('PATCH', '/v1/server', undefined, { name: 'x' })).toMatchObject({ status: 401 })
    expect(await system.call('PATCH', '/v1/server', member, { name: 'x' })).toMatchObject({ status: 403 })
  })
})

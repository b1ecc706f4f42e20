import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { SystemStorage } from '@conntext/contracts'
import { storageSamples } from '@conntext/db-server-details'
import { createStorage } from '../src/storage/service.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let viewer: Caller
beforeAll(async () => {
  system = await startSystem()
  viewer = await system.member('system.view')
})
afterAll(() => system[Symbol.asyncDispose]())

const PATH = '/v1/system/storage'

test('every database tells its tables, and the disks how much is left', async () => {
  await system.member('server.manage')
  await system.trail('system.started')
  const { status, body } = await system.call('GET', PATH, viewer)
  expect(status).toBe(200)
  const { databases, media, disks } = body as SystemStorage
  expect(databases.map(({ name }) => name)).toEqual(['server_details', 'communications', 'audit'])
  const tables = new Map(databases.flatMap(({ tables }) => tables.map((table) => [table.name, table] as const)))
  expect(tables.get('server_settings')!.bytes).toBeGreaterThan(0)
  for (const { bytes, tables } of databases) {
    expect(bytes!).toBeGreaterThanOrEqual(tables.reduce((sum, table) => sum + table.bytes, 0))
    expect(tables.map(({ bytes }) => bytes)).toEqual(tables.map(({ bytes }) => bytes).toSorted((a, b) => b - a))
  }
  expect(media).toMatchObject({ objects: 3, bytes: 300 })
  expect(disks.find(({ name }) => name === 'audit')!.free).toBeGreaterThan(0)
})

test('it is asked once a minute, and what is away is left out', async () => {
  let asked = 0
  const storage = createStorage({
    ...system.deps,
    clock: system.clock,
    dataDirectory: '/',
    messaging: {
      storage() {
        asked += 1
        return Promise.reject(new Error('away'))
      },
    },
  })
  const [one, other] = await Promise.all([storage.read(), storage.read()])
  await storage.read()
  expect(asked).toBe(1)
  expect(one).toEqual(other)
  expect(one.databases[1]).toEqual({ name: 'communications', bytes: null, tables: [] })
  expect(one.databases[0]!.bytes).toBeGreaterThan(0)
  expect(one.media).toBeNull()
  expect(one.disks[0]).toMatchObject({ name: 'data', total: expect.any(Number) })
})

test('growth is told by day; the last of a day stands, and what is old goes', async () => {
  const day = (ago: number) => new Date(system.clock.now().getTime() - ago * 86_400_000).toISOString().slice(0, 10)
  const { db } = system.deps
  await db.delete(storageSamples)
  await db.insert(storageSamples).values([
    { day: day(500), store: 'media', bytes: 1 },
    { day: day(200), store: 'media', bytes: 2 },
    { day: day(1), store: 'media', bytes: 3 },
    { day: day(0), store: 'media', bytes: 4 },
  ])
  const storage = createStorage({ ...system.deps, clock: system.clock })
  await storage.sample()
  await storage.sample()
  const { growth, databases } = await storage.read()
  expect(growth.map(({ day }) => day)).toEqual([day(1), day(0)])
  expect(growth[0]!.stores).toEqual({ media: 3 })
  expect(growth[1]!.stores).toEqual({
    media: 300,
    ...Object.fromEntries(databases.map(({ name, bytes }) => [name, bytes!])),
  })
  expect((await db.select().from(storageSamples)).map(({ day }) => day)).not.toContain(day(500))
})

test('it takes the permission', async () => {
  expect(await system.call('GET', PATH)).toMatchObject({ status: 401 })
  expect(await system.call('GET', PATH, await system.member())).toMatchObject({ status: 403 })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ServerInfo, SettingsChange } from '@conntext/contracts'
import { settingsHistory } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let manager: Caller
beforeAll(async () => {
  system = await startSystem()
  manager = await system.member('server.manage')
})
afterAll(() => system[Symbol.asyncDispose]())

const PATH = '/v1/server/history'
const patch = (body: object, headers = {}) => system.call('PATCH', '/v1/server', manager, body, headers)
const history = async (query = '') =>
  (await system.call('GET', PATH + query, manager)).body as { items: SettingsChange[]; nextCursor: string | null }
const server = async () => (await system.call('GET', '/v1/server')).body as ServerInfo
const restore = (id: string, caller: Caller = manager) => system.call('POST', `${PATH}/${id}/restore`, caller)

test('every change is there, newest first, with who, why, before and after; what changed nothing is not', async () => {
  await patch({ name: 'One', limits: { maxMessageLength: 300 } }, { 'x-audit-reason': 'to begin with' })
  await patch({ name: 'One' })
  await patch({ name: 'Two' })
  const { items, nextCursor } = await history()
  expect(nextCursor).toBeNull()
  expect(items).toMatchObject([
    { changedBy: manager!.userId, reason: null, restores: null, changes: { name: { from: 'One', to: 'Two' } } },
    {
      reason: 'to begin with',
      changes: { name: { from: 'ConnText', to: 'One' }, maxMessageLength: { from: 4000, to: 300 } },
    },
  ])
  const first = await history('?limit=1')
  expect(first.items).toEqual(items.slice(0, 1))
  expect(await history(`?limit=1&cursor=${first.nextCursor}`)).toEqual({ items: items.slice(1), nextCursor: null })
})

test('a change is taken back, and no other, told and recorded; and that can be taken back as well', async () => {
  await patch({ description: 'kept' })
  const { items } = await history()
  const change = items.find(({ reason }) => reason === 'to begin with')!
  const answer = await restore(change.id)
  expect(answer).toMatchObject({
    status: 200,
    body: { name: 'ConnText', description: 'kept', limits: { maxMessageLength: 4000 } },
  })
  expect(await server()).toEqual(answer.body as ServerInfo)
  expect(system.heard.at(-1)).toMatchObject({ t: 'server.updated', d: answer.body })
  const [restored] = (await history()).items
  expect(restored).toMatchObject({ restores: change.id, changes: { name: { from: 'Two', to: 'ConnText' } } })
  const [event] = await system.trail('server.updated', 4)
  expect(event!.data).toEqual({ changes: restored!.changes })
  expect(await restore(restored!.id)).toMatchObject({ status: 200, body: { name: 'Two' } })

  const count = (await history()).items.length
  await restore(restored!.id)
  expect((await history()).items).toHaveLength(count)
})

test('what no longer fits is refused by the rules of today, and nothing changes', async () => {
  const channel = await system.channel(await system.member('channel.manage'))
  const seeing = await system.member('server.manage', 'channel.view')
  await system.call('PATCH', '/v1/server', seeing, { systemChannelId: channel.id })
  await system.call('PATCH', '/v1/server', seeing, { systemChannelId: null })
  await system.call('DELETE', `/v1/channels/${channel.id}`, await system.member('channel.manage', 'channel.view'))
  const [cleared] = (await history()).items
  const before = await server()
  expect(await restore(cleared!.id, seeing)).toMatchObject({ status: 422, body: { code: 'server.badSystemChannel' } })
  const id = newId()
  const gone = { id, changedAt: new Date(), changes: { ofOld: { from: 1, to: 2 } } }
  await system.databases.system.insert(settingsHistory).values(gone)
  expect(await restore(id)).toMatchObject({ status: 404, body: { code: 'server.noSuchChange' } })
  expect(await server()).toEqual(before)
})

test('no more than a thousand are kept', async () => {
  const old = Array.from({ length: 1_005 }, (_, index) => ({
    id: `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`,
    changedAt: new Date(),
    changes: {},
  }))
  await system.databases.system.insert(settingsHistory).values(old)
  await patch({ name: 'The last' })
  expect(await system.databases.system.$count(settingsHistory)).toBe(1_000)
  expect((await history('?limit=1')).items[0]!.changes.name!.to).toBe('The last')
})

test('it takes the permission, and a change that there is', async () => {
  const member = await system.member()
  expect(await system.call('GET', PATH)).toMatchObject({ status: 401 })
  expect(await system.call('GET', PATH, member)).toMatchObject({ status: 403 })
  expect(await system.call('GET', `${PATH}?limit=0`, manager)).toMatchObject({ status: 422 })
  expect(await system.call('POST', `${PATH}/${newId()}/restore`)).toMatchObject({ status: 401 })
  expect(await restore(newId(), member)).toMatchObject({ status: 403 })
  expect(await restore(newId())).toMatchObject({ status: 404, body: { code: 'server.noSuchChange' } })
  expect(await restore('nothing')).toMatchObject({ status: 422 })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channels, invites } from '@conntext/db-server-details'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let caller: Caller

beforeAll(async () => {
  system = await startSystem()
  caller = await system.member('channel.manage', 'invite.create')
})
afterAll(() => system[Symbol.asyncDispose]())

const post = (path: string, body: object, key: string) =>
  system.call('POST', path, caller, body, { 'idempotency-key': key })

test('a channel is made once for each Idempotency-Key, however often it is asked for', async () => {
  const body = { name: 'lounge', type: 'text' }
  const first = await post('/v1/channels', body, 'one')
  expect(first.status).toBe(201)
  const repeats = await Promise.all(Array.from({ length: 5 }, () => post('/v1/channels', body, 'one')))
  for (const repeat of repeats) expect(repeat).toMatchObject({ status: 201, body: first.body as object })
  expect(await post('/v1/channels', { ...body, name: 'other' }, 'one')).toMatchObject({
    status: 422,
    body: { code: 'idempotency.mismatch' },
  })
  const rows = await system.databases.system.select().from(channels)
  expect(rows.filter((row) => row.name === 'lounge')).toHaveLength(1)
})

test('an invite is made once for each Idempotency-Key, and a repeat is told the same code', async () => {
  const first = await post('/v1/invites', { maxUses: 1 }, 'two')
  expect(first.status).toBe(201)
  expect(await post('/v1/invites', { maxUses: 1 }, 'two')).toMatchObject({ status: 201, body: first.body as object })
  expect(await system.databases.system.select().from(invites)).toHaveLength(1)
})

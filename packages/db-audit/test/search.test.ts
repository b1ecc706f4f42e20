import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createClient } from '@clickhouse/client'
import { newId } from '@conntext/kernel'
import { matching } from '../src/filter.ts'
import {
  type Audit,
  countEvents,
  type EventFilter,
  migrateAudit,
  openAudit,
  selectEvents,
  selectTop,
} from '../src/index.ts'
import { migrations as released } from '../src/migrations/index.ts'
import { newDatabase, startEngine } from './support/engine.ts'

let engine: Awaited<ReturnType<typeof startEngine>>
let audit: Audit
let explain: (filter: EventFilter) => Promise<string>
const window = { from: new Date('2026-03-01T00:00:00Z'), to: new Date('2026-03-31T00:00:00Z') }
const ROWS = 60_000

const ADDRESSES = [
  '192.0.2.7',
  '192.0.2.200',
  '192.0.3.7',
  '2001:db8::7',
  '2001:db8:0:0:1::7',
  '2001:DB8:0:1::7',
  '::ffff:192.0.2.7',
  'unknown',
  null,
]
const REASONS = ['Spam, 100% sure', 'under_score', 'back\\slash', 'Ärger im ÖPNV', 'ıİ ΣΊΣΥΦΟΣ', 'x', '', null]

beforeAll(async () => {
  engine = await startEngine()
  const connection = newDatabase(engine.server)
  await migrateAudit(connection)
  audit = openAudit(connection)
  const client = createClient({ ...engine.server, database: connection.database })
  const row = (at: number, address: string | null, reason: string | null) => ({
    ...{ id: newId(), occurred_at: new Date(at).toISOString(), received_at: new Date(at).toISOString() },
    ...{ service: 'auth', action: 'member.banned', data: '{}', address, reason },
  })
  const told = [...ADDRESSES.map((one) => [one, null] as const), ...REASONS.map((one) => [null, one] as const)]
  const rows = told.map(([address, reason], i) => row(window.from.getTime() + i, address, reason))
  await audit.insert('events', rows, newId())
  // As many others as make several marks of the index.
  await client.command({
    query: `INSERT INTO events (id, occurred_at, received_at, service, action, data, address, reason)
      SELECT generateUUIDv4(), fromUnixTimestamp64Milli(${window.from.getTime()} + 1000 + number * 30000), now64(3), 'auth',
        'session.created', '{}', concat('198.51.', toString(number % 100), '.', toString(number % 256)), 'of no matter'
      FROM numbers(${ROWS})`,
  })
  explain = async (filter) => {
    const { sql, params } = matching(window, filter)
    const query = `EXPLAIN indexes = 1 SELECT id FROM events WHERE ${sql}`
    return (await client.query({ query, query_params: params, format: 'TabSeparatedRaw' })).text()
  }
})
afterAll(async () => {
  await audit.close()
  await engine.stop()
})

const found = async (filter: EventFilter) => selectEvents(audit, { window, filter, limit: 100 })

describe('a network', () => {
  test.each([
    ['192.0.2.7/32', ['192.0.2.7']],
    ['192.0.2.0/25', ['192.0.2.7']],
    ['192.0.2.9/24', ['192.0.2.200', '192.0.2.7']],
    ['192.0.2.0/23', ['192.0.2.200', '192.0.2.7', '192.0.3.7']],
    ['203.0.113.0/24', []],
    ['2001:db8::7/128', ['2001:db8::7']],
    ['2001:0DB8:0::7/128', ['2001:db8::7']],
    ['2001:db8::/80', ['2001:db8::7']],
    ['2001:db8::/64', ['2001:db8:0:0:1::7', '2001:db8::7']],
    ['2001:db8::/63', ['2001:DB8:0:1::7', '2001:db8:0:0:1::7', '2001:db8::7']],
    ['::ffff:0:0/96', ['::ffff:192.0.2.7']],
    ['::ffff:192.0.2.7/128', ['::ffff:192.0.2.7']],
  ])('%s is found by all its addresses, however they are written', async (network, addresses) => {
    expect((await found({ network })).map((row) => row.address).sort()).toEqual(addresses)
  })

  test.each(['192.0.2.7/32', '192.0.2.0/24', '2001:db8::7/128', '2001:db8::/64'])(
    '%s is looked for where the index knows it, not everywhere',
    async (network) => expect(granules(await explain({ network }), 'events_address')).toBeLessThanOrEqual(2),
  )
})

describe('a text within the reason', () => {
  test.each([
    ['SPAM', ['Spam, 100% sure']],
    ['0% S', ['Spam, 100% sure']],
    ['%', ['Spam, 100% sure']],
    ['r_s', ['under_score']],
    ['_', ['under_score']],
    ['k\\S', ['back\\slash']],
    ['\\', ['back\\slash']],
    ['öpnv', ['Ärger im ÖPNV']],
    ['äRG', ['Ärger im ÖPNV']],
    ['σίσυφ', ['ıİ ΣΊΣΥΦΟΣ']],
    ['m%p', []],
    ["' OR 1 = 1 --", []],
  ])('%s is found in any case, and means nothing but itself', async (reason, reasons) => {
    expect((await found({ reason })).map((row) => row.reason)).toEqual(reasons)
  })

  test('is looked for where the index knows it, not everywhere', async () => {
    expect(granules(await explain({ reason: 'SPAM' }), 'events_reason')).toBeLessThanOrEqual(2)
  })
})

test('what was there before the rollups and indexes of a release is counted and found at once, and by them later', async () => {
  const connection = newDatabase(engine.server)
  await migrateAudit(
    connection,
    released.filter(({ version }) => version < 6),
  )
  const client = createClient({ ...engine.server, database: connection.database })
  const rows = 20_000
  await client.command({
    query: `INSERT INTO events (id, occurred_at, received_at, service, action, data, address, actor_id)
      SELECT generateUUIDv4(), fromUnixTimestamp64Milli(${window.from.getTime()} + number * 100000), now64(3), 'auth',
        concat('session.', toString(number % 2)), '{}', if(number = 7, '192.0.2.7', '198.51.100.7'), toUUID('${newId()}')
      FROM numbers(${rows})`,
  })
  await migrateAudit(connection)
  const old = openAudit(connection)
  const actions = { actionPrefixes: ['session.'] }
  expect(await countEvents(old, window, actions)).toBe(rows)
  expect(await selectTop(old, { window, filter: actions, by: 'actorId', most: 5 })).toMatchObject([{ count: rows }])
  expect(await selectEvents(old, { window, filter: { network: '192.0.2.7/32' }, limit: 5 })).toHaveLength(1)
  const plan = `EXPLAIN SELECT actor_id, count() FROM events WHERE toMonday(occurred_at) >= toDate('2026-03-02') GROUP BY actor_id`
  const isUsed = async () =>
    (await (await client.query({ query: plan, format: 'TabSeparated' })).text()).includes('events_by_actor_week')
  while (!(await isUsed())) await Bun.sleep(50)
  expect(await selectTop(old, { window, filter: actions, by: 'actorId', most: 5 })).toMatchObject([{ count: rows }])
  await Promise.all([old.close(), client.close()])
}, 60_000)

/** How many parts of the table are left to read behind an index, of several. */
function granules(plan: string, index: string): number {
  const [, left, all] = new RegExp(`Name: ${index}[\\s\\S]*?Granules: (\\d+)/(\\d+)`).exec(plan) ?? []
  expect(Number(all)).toBeGreaterThan(5)
  return Number(left)
}

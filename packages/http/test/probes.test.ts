import { describe, expect, test } from 'bun:test'
import { createHealth, outboxProbe, postgresProbe } from '../src/index.ts'
import { testClock } from './support/clock.ts'

type Lag = { oldest: string | null; refused: number }

/** How an outbox with this lag is, that many ms after `start`. */
async function outbox(lag: (start: string) => Lag[], afterMs = 0) {
  const clock = testClock()
  const start = clock.now().toISOString()
  clock.advance(afterMs)
  const probe = outboxProbe({ lag: async () => lag(start), clock, table: 'a_outbox', receivers: 'the receiver' })
  const { state, dependencies } = await createHealth('a', [probe], clock)()
  const { detail, remedy } = dependencies[0]!
  return { state, detail, remedy }
}

describe('an outbox', () => {
  const up = { state: 'up' as const, detail: null, remedy: null }

  test('is up when it is empty, and while what it owes has not waited long', async () => {
    expect(await outbox(() => [])).toEqual(up)
    expect(await outbox((oldest) => [{ oldest, refused: 0 }], 60_000)).toEqual(up)
  })

  test('is degraded when one of its topics has waited for more than a minute, and says whom to look at', async () => {
    const lag = (oldest: string) => [
      { oldest: null, refused: 0 },
      { oldest, refused: 0 },
      { oldest: new Date(Date.parse(oldest) + 61_000).toISOString(), refused: 0 },
    ]
    const found = await outbox(lag, 62_000)
    expect(found).toMatchObject({ state: 'degraded', detail: expect.stringContaining('62 s') })
    expect(found.remedy).toContain('the receiver')
  })

  test('is degraded when rows were refused, and says how many and where to see why', async () => {
    const found = await outbox(() => [
      { oldest: null, refused: 2 },
      { oldest: null, refused: 1 },
    ])
    expect(found).toMatchObject({ state: 'degraded', detail: expect.stringContaining('3') })
    expect(found.remedy).toContain('a_outbox.refused_with')
  })
})

test('without its database a service is down, and says which one it is', async () => {
  const check = async () => {
    throw new Error('connection refused')
  }
  const { state, dependencies } = await createHealth('a', [
    postgresProbe({ check, wasFullLately: () => false }, 'Communication'),
  ])()
  expect(state).toBe('down')
  expect(dependencies[0]).toMatchObject({ name: 'postgres', detail: 'connection refused' })
  expect(dependencies[0]!.remedy).toContain('Communication database')
})

test('with a database that answers and has no room left a service is degraded, and says where to make some', async () => {
  let isFull = true
  const health = createHealth('a', [
    postgresProbe({ check: async () => {}, wasFullLately: () => isFull }, 'Communication'),
  ])
  const { state, dependencies } = await health()
  expect(state).toBe('degraded')
  expect(dependencies[0]!.detail).toContain('disk is full')
  expect(dependencies[0]!.remedy).toContain('Communication database')
  isFull = false
  expect((await health()).state).toBe('up')
})

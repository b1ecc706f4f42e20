import { expect, test } from 'bun:test'
import { busProbe, clockProbe, diskProbe, seldom } from '../src/index.ts'

test('clocks that differ by more than two seconds are told, each with by how much', async () => {
  const of = (skews: Record<string, number>) => clockProbe(async () => skews).run()
  expect(await of({ Postgres: 1_900, ClickHouse: -1_900 })).toBeUndefined()
  expect(await of({ Postgres: 3_600_000, ClickHouse: -2_500, auth: 0 })).toMatchObject({
    state: 'degraded',
    detail: "Clocks differ from the system service's: Postgres: +3600.0 s, ClickHouse: −2.5 s.",
    remedy: expect.stringContaining('NTP') as string,
  })
})

test.each([
  [500, 1_000, 'degraded'],
  [99, 1_000, 'degraded'],
  [101, 1_000, undefined],
  [2, 10, undefined],
])('%p GB free of %p GB are %p', async (free, total, state) => {
  const found = await diskProbe('disk', async () => ({
    free: free * (free === 500 ? 1e6 : 1e9),
    total: total * 1e9,
  })).run()
  expect(found?.state).toBe(state as 'degraded' | undefined)
})

test('a bus that is away is told, and keeps nobody from working', async () => {
  const probe = busProbe({ check: () => Promise.reject(new Error('away')) })
  expect(probe.critical).toBe(false)
  await expect(probe.run()).rejects.toThrow('away')
})

test('what costs something is tried once, and its failure holds as long', async () => {
  let tries = 0
  const probe = seldom(
    {
      name: 'dear',
      critical: false,
      remedy: '',
      async run() {
        tries += 1
        throw new Error('no')
      },
    },
    60_000,
  )
  for (let i = 0; i < 3; i += 1) await expect(probe.run()).rejects.toThrow('no')
  expect(tries).toBe(1)
})

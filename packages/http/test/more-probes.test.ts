import { expect, test } from 'bun:test'
import { busProbe, clockDoubtProbe, clockProbe, diskProbe, seldom } from '../src/index.ts'

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

test('a clock in doubt is told of with what ends the doubt: only what is known can be confirmed', async () => {
  const now = new Date('2026-03-10T12:00:00Z')
  const known = new Date('2026-03-01T12:00:00Z')
  const told = async (kind: 'ahead' | 'apart' | 'behind', ms: number) => {
    const found = await clockDoubtProbe(async () => ({ kind, ms, now, known })).run()
    expect(found).toMatchObject({ state: 'degraded' })
    return found!
  }
  expect(await clockDoubtProbe(async () => undefined).run()).toBeUndefined()
  const ahead = await told('ahead', now.getTime() - known.getTime())
  expect(ahead.detail).toContain('2026-03-01T12:00:00.000Z')
  expect(ahead.remedy).toContain('conntext clock confirm')
  const apart = await told('apart', -7_200_000)
  expect(apart.detail).toContain("7200 s behind the database's")
  expect(apart.remedy).toContain('both')
  expect(apart.remedy).not.toContain('confirm')
  expect((await told('behind', 3_600_000)).remedy).toContain('conntext clock confirm')
})

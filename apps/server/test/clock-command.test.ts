import { expect, test } from 'bun:test'
import { systemKnownTime } from '@conntext/db-server-details'
import { testServerDetails } from '@conntext/testing'
import { confirmClock } from '../src/cli/clock.ts'
import type { Place } from '../src/cli/place.ts'

test('a time that the database’s clock contradicts is not confirmed: it would be doubted as before', async () => {
  await using database = await testServerDetails()
  const place = { db: database.system } as unknown as Place
  for (const [offMs, told] of [
    [3_600_000, /s ahead of the database's: /],
    [-3_600_000, /s behind the database's: /],
  ] as const) {
    const confirmed = confirmClock(place, new Date(Date.now() + offMs))
    await expect(confirmed).rejects.toThrow(told)
  }
  expect(await database.system.select().from(systemKnownTime)).toEqual([])
})

import { expect, test } from 'bun:test'
import { Expiring } from '../src/index.ts'
import { testClock } from './support/clock.ts'

/** A cache whose loads a test answers one by one. */
function start(maxEntries = 10) {
  const clock = testClock()
  const loads: ({ key: string } & PromiseWithResolvers<string>)[] = []
  const cache = new Expiring<string>(
    (key) => {
      const load = { key, ...Promise.withResolvers<string>() }
      loads.push(load)
      return load.promise
    },
    { maxAgeMs: 1000, maxEntries, clock },
  )
  return { cache, clock, loads }
}

test('concurrent readers share one load', async () => {
  const { cache, loads } = start()
  const reading = [cache.get('a'), cache.get('a'), cache.get('a')]
  expect(loads).toHaveLength(1)
  loads[0]!.resolve('1')
  expect(await Promise.all(reading)).toEqual(['1', '1', '1'])
})

test('a value is kept for its time and not longer', async () => {
  const { cache, clock, loads } = start()
  cache.get('a')
  loads[0]!.resolve('old')
  clock.advance(999)
  expect(await cache.get('a')).toBe('old')
  clock.advance(1)
  const fresh = cache.get('a')
  expect(loads).toHaveLength(2)
  loads[1]!.resolve('new')
  expect(await fresh).toBe('new')
})

test('a value is not kept until a clock that was set back has caught up', async () => {
  const { cache, clock, loads } = start()
  cache.get('a')
  loads[0]!.resolve('old')
  clock.advance(-86_400_000)
  const fresh = cache.get('a')
  expect(loads).toHaveLength(2)
  loads[1]!.resolve('new')
  expect(await fresh).toBe('new')
})

test.each(['delete', 'clear'] as const)('%s while a load is under way: its answer never comes back', async (drop) => {
  const { cache, loads } = start()
  const before = cache.get('a')
  cache[drop]('a')
  const after = cache.get('a')
  loads[1]!.resolve('new')
  expect(await after).toBe('new')
  // The overtaken load answers last, and only whoever asked for it gets it.
  loads[0]!.resolve('old')
  expect(await before).toBe('old')
  expect(await cache.get('a')).toBe('new')
})

test('a load that fails is not kept, and does not take a newer one with it', async () => {
  const { cache, loads } = start()
  const failing = cache.get('a')
  loads[0]!.reject(new Error('away'))
  await expect(failing).rejects.toThrow('away')
  const second = cache.get('a')
  cache.delete('a')
  const third = cache.get('a')
  loads[1]!.reject(new Error('late'))
  await second.catch(() => {})
  expect(cache.get('a')).toBe(third)
  loads[2]!.resolve('good')
  expect(await third).toBe('good')
  expect(loads).toHaveLength(3)
})

test('no more is kept than allowed: the oldest goes first', () => {
  const { cache, loads } = start(2)
  for (const key of ['a', 'b', 'c']) cache.get(key)
  cache.get('c')
  cache.get('b')
  expect(loads).toHaveLength(3)
  cache.get('a')
  expect(loads.map((load) => load.key)).toEqual(['a', 'b', 'c', 'a'])
})

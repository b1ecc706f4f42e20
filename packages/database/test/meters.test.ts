import { expect, test } from 'bun:test'
import { PoolMeter } from '../src/meters.ts'

const refusedWith = async (meter: PoolMeter, code: string) => {
  const answered = Promise.reject(Object.assign(new Error('refused'), { code }))
  meter.statement('insert into messages default values', answered)
  await answered.catch(() => {})
}

test('a disk counts as full for a minute after a statement was refused for it, and for no other refusal', async () => {
  let now = 1_000_000
  const meter = new PoolMeter('a test', 1, () => now)
  expect(meter.wasFullLately()).toBe(false)
  // Too many connections, and a duplicate.
  for (const code of ['53300', '23505']) await refusedWith(meter, code)
  expect(meter.wasFullLately()).toBe(false)
  await refusedWith(meter, '53100')
  now += 59_999
  expect(meter.wasFullLately()).toBe(true)
  now += 1
  expect(meter.wasFullLately()).toBe(false)
  await refusedWith(meter, '53100')
  expect(meter.wasFullLately()).toBe(true)
  meter.end()
})

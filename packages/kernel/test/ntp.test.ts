import { expect, test } from 'bun:test'
import { isKeptByNtp, kernelClock } from '../src/index.ts'

test.skipIf(process.platform !== 'linux')('the kernel is asked for its own time', () => {
  expect(Math.abs(kernelClock()!.atMs - Date.now())).toBeLessThan(5_000)
})

test('a time is kept right where the kernel says so, and means the same time', () => {
  const now = new Date()
  const kept = { atMs: now.getTime() - 500, isKept: true }
  expect(isKeptByNtp(now, kept)).toBe(true)
  expect(isKeptByNtp(now, { ...kept, isKept: false })).toBe(false)
  for (const offMs of [86_400_000, -86_400_000]) {
    expect(isKeptByNtp(new Date(now.getTime() + offMs), kept)).toBe(false)
  }
})

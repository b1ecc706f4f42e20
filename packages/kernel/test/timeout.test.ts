import { describe, expect, jest, test } from 'bun:test'
import { answerWithin } from '../src/index.ts'

describe('an answer within a time', () => {
  test('is the answer, or what was thrown, and leaves no timer', async () => {
    jest.useFakeTimers()
    try {
      expect(await answerWithin(1_000, async () => 'here')).toBe('here')
      await expect(answerWithin(1_000, () => Promise.reject(new Error('refused')))).rejects.toThrow('refused')
      expect(jest.getTimerCount()).toBe(0)
    } finally {
      jest.useRealTimers()
    }
  })

  test('is a failure when it does not come', async () => {
    await expect(answerWithin(10, () => new Promise(() => {}))).rejects.toThrow('no answer within 0.01 s')
  })
})

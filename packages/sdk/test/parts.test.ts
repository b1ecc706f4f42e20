import { describe, expect, test } from 'bun:test'
import { backoff } from '../src/gateway/backoff.ts'
import { Cursors } from '../src/gateway/cursors.ts'
import { Emitter } from '../src/gateway/emitter.ts'
import { ProblemError, unwrap } from '../src/problem.ts'

describe('cursors', () => {
  test('take each number once, in order, and see a gap', () => {
    const cursors = new Cursors()
    cursors.begin({ 'channel:a': 7 })
    expect(cursors.take('channel:a', 7)).toBe('known')
    expect(cursors.take('channel:a', 8)).toBe('next')
    expect(cursors.take('channel:a', 8)).toBe('known')
    expect(cursors.take('channel:a', 10)).toBe('gap')
    expect(cursors.toJSON()).toEqual({ 'channel:a': 8 })
  })

  test('keep what is followed at the next ready, begin what is new, and let go of what is gone', () => {
    const cursors = new Cursors()
    cursors.begin({ server: 3, 'channel:a': 7 })
    cursors.begin({ server: 9, 'channel:b': 4 })
    expect(cursors.toJSON()).toEqual({ server: 3, 'channel:b': 4 })
  })
})

test('the pause doubles with each failure up to the longest, and never is the same for all', () => {
  const limits = { firstMs: 100, longestMs: 1_000 }
  const pauses = (failures: number) => Array.from({ length: 200 }, () => backoff(failures, limits))
  expect(Math.min(...pauses(0))).toBeGreaterThanOrEqual(50)
  expect(Math.max(...pauses(0))).toBeLessThanOrEqual(100)
  expect(Math.max(...pauses(50))).toBeLessThanOrEqual(1_000)
  expect(Math.min(...pauses(50))).toBeGreaterThanOrEqual(500)
  expect(new Set(pauses(3)).size).toBeGreaterThan(100)
})

test('who has stopped listening is not called', () => {
  const emitter = new Emitter<{ tick: number }>()
  const heard: number[] = []
  const stop = emitter.on('tick', (value) => heard.push(value))
  emitter.emit('tick', 1)
  stop()
  emitter.emit('tick', 2)
  expect(heard).toEqual([1])
})

test('a problem becomes an error with its code, an answer is taken out of its envelope', async () => {
  const problem = { type: 'urn:x', title: 'No', status: 404, code: 'channel.notFound', requestId: 'r' }
  expect(await unwrap(Promise.resolve({ data: 5 }))).toBe(5)
  const failed = await unwrap(Promise.resolve({ error: problem })).catch((error) => error)
  expect(failed).toBeInstanceOf(ProblemError)
  expect(failed).toMatchObject({ code: 'channel.notFound', status: 404, message: 'No' })
})

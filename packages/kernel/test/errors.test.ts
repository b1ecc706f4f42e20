import { expect, test } from 'bun:test'
import { AppError, defineErrors } from '../src/index.ts'

const errors = defineErrors('thing', {
  nameTaken: { status: 409, title: 'A thing with this name exists' },
  away: { status: 503, title: 'The thing is away' },
})

test('a catalogued error carries its code, status and title', () => {
  const error = errors.nameTaken()
  expect(error).toBeInstanceOf(AppError)
  expect(error).toMatchObject({ code: 'thing.nameTaken', status: 409, title: 'A thing with this name exists' })
  expect(error.message).toBe('A thing with this name exists')
  expect([error.detail, error.errors, error.retryAfter, error.cause]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
})

test('words for the client can be given alone', () => {
  expect(errors.nameTaken('There is a general.')).toMatchObject({
    detail: 'There is a general.',
    message: 'There is a general.',
  })
})

test('details are carried over, the cause included', () => {
  const cause = new Error('the cause')
  const faults = [{ path: '/body/name', message: 'is too long' }]
  const error = errors.away({ detail: 'Soon back.', errors: faults, retryAfter: 3, cause })
  expect(error).toMatchObject({ status: 503, detail: 'Soon back.', errors: faults, retryAfter: 3 })
  expect(error.cause).toBe(cause)
})

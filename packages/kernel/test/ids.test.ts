import { expect, test } from 'bun:test'
import { isId, newId } from '../src/index.ts'

test('ids are UUIDv7, all different, and sort by when they were made', () => {
  const ids = Array.from({ length: 10_000 }, () => newId())
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.every((id) => isId(id) && id[14] === '7')).toBe(true)
  expect(ids.toSorted()).toEqual(ids)
})

test.each([
  '',
  'x',
  '01A20675-C9C6-7677-B1E0-5D965A0CE64C',
  '01a20675c9c67677b1e05d965a0ce64c',
  ' 01a20675-c9c6-7677-b1e0-5d965a0ce64c',
  '01a20675-c9c6-7677-b1e0-5d965a0ce64c\n',
  '01a20675-c9c6-7677-b1e0-5d965a0ce64g',
])('%p is no id', (text) => {
  expect(isId(text)).toBe(false)
})

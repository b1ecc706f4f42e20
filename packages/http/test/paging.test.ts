import { describe, expect, test } from 'bun:test'
import { type AppError, newId } from '@conntext/kernel'
import { CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor, pageById, pageOf, pageRequest } from '../src/index.ts'

const refused = (ask: () => unknown) => {
  try {
    ask()
  } catch (error) {
    return (error as AppError).code
  }
  return 'taken'
}

describe('a cursor', () => {
  test('says again what it was made of', () => {
    const id = newId()
    expect(decodeCursor(encodeCursor([17, id]), [CURSOR_NUMBER, CURSOR_ID])).toEqual(['17', id])
  })

  test.each([
    ['nonsense', 'nonsense'],
    ['%00', '%00'],
    ['one part too many', encodeCursor([1, newId(), 1])],
    ['one part too few', encodeCursor([1])],
    ['parts of another kind', encodeCursor([newId(), 1])],
    ['a negative number', encodeCursor([-1, newId()])],
    ['more behind it', encodeCursor([1, `${newId()}'`])],
    ['a line more', encodeCursor([1, `${newId()}\n`])],
  ])('that no page gave out is refused: %s', (_, cursor) => {
    expect(refused(() => decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_ID]))).toBe('request.invalid')
    expect(refused(() => pageRequest({ cursor }))).toBe('request.invalid')
  })
})

describe('a page', () => {
  const rows = Array.from({ length: 5 }, () => ({ id: newId() }))
  const read = (query: Parameters<typeof pageRequest>[0]) => {
    const { limit, after } = pageRequest(query)
    const found = rows.filter((row) => after === undefined || row.id > after).slice(0, limit + 1)
    return pageById(found, limit, (row) => row.id)
  }

  test('leads to the next, until the last one, and none is left out or told twice', () => {
    const told: string[] = []
    const sizes: number[] = []
    let cursor: string | null | undefined
    while (cursor !== null) {
      const page = read({ limit: '2', ...(cursor === undefined ? {} : { cursor }) })
      told.push(...page.items)
      sizes.push(page.items.length)
      cursor = page.nextCursor
    }
    expect(told).toEqual(rows.map((row) => row.id))
    expect(sizes).toEqual([2, 2, 1])
  })

  test('that is just full is the last one', () => {
    expect(read({ limit: '5' }).nextCursor).toBeNull()
    expect(read({}).items).toHaveLength(5)
  })

  test('of none is empty', () => {
    expect(pageOf([], 2, String, String)).toEqual({ items: [], nextCursor: null })
  })
})

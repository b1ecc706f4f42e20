import { describe, expect, test } from 'bun:test'
import { parseQuery, QueryFault } from '../src/index.ts'

const fault = (text: string) => {
  try {
    parseQuery(text)
  } catch (error) {
    if (error instanceof QueryFault) return [error.position, error.message]
    throw error
  }
  return undefined
}
const lexemes = (text: string) =>
  parseQuery(text).phrases.map(({ steps, negated }) => [negated, ...steps.map((step) => step.lexeme)])
const period = (text: string) => {
  const [filter] = parseQuery(text).filters
  if (filter?.kind !== 'date') throw new Error('no date')
  return [filter.value.from?.toISOString() ?? null, filter.value.until?.toISOString() ?? null]
}

describe('a query', () => {
  test('is words, phrases and what to leave out', () => {
    expect(lexemes('one "two three" -four -"five six" “seven eight”')).toEqual([
      [false, 'one'],
      [false, 'two', 'three'],
      [true, 'four'],
      [true, 'five', 'six'],
      [false, 'seven', 'eight'],
    ])
  })

  test('takes what is no operator, quotation or word as what it is', () => {
    expect(lexemes('http://a.b 10:30 foo:bar x"y - -- !!! זה"ל')).toEqual([
      [false, 'http', 'a', 'b'],
      [false, '10', '30'],
      [false, 'foo', 'bar'],
      [false, 'x', 'y'],
      [false, 'זה', 'ל'],
    ])
    expect(lexemes("'a' & !b | (c) <-> d:* \\ \0")).toEqual([
      [false, 'a'],
      [false, 'b'],
      [false, 'c'],
      [false, 'd'],
    ])
  })

  test('has operators, with quoted values, in any case, left out as well', () => {
    expect(parseQuery('FROM:ann -in:"two words" has:Image mentions:@me -is:pinned').filters).toEqual([
      { kind: 'from', value: 'ann', negated: false },
      { kind: 'in', value: 'two words', negated: true },
      { kind: 'has', value: 'image', negated: false },
      { kind: 'mentions', value: '@me', negated: false },
      { kind: 'is', value: 'pinned', negated: true },
    ])
  })

  const dates: [query: string, from: string | null, until: string | null][] = [
    ['before:2024', null, '2024-01-01T00:00:00.000Z'],
    ['after:2024', '2025-01-01T00:00:00.000Z', null],
    ['before:2024-02-10', null, '2024-02-10T00:00:00.000Z'],
    ['after:2024-02-29', '2024-03-01T00:00:00.000Z', null],
    ['on:2024-12-31', '2024-12-31T00:00:00.000Z', '2025-01-01T00:00:00.000Z'],
    ['during:2024-02', '2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
    ['during:9999', '9999-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z'],
    ['during:0001', '0001-01-01T00:00:00.000Z', '0002-01-01T00:00:00.000Z'],
    ['before:2024-02-10T12:00', null, '2024-02-10T12:00:00.000Z'],
    ['before:2024-02-10T12:00:00+02:00', null, '2024-02-10T10:00:00.000Z'],
    ['after:2024-02-10T12:00:00.500Z', '2024-02-10T12:00:00.501Z', null],
  ]
  test.each(dates)('%s', (query, from, until) => expect(period(query)).toEqual([from, until]))

  const faults: [query: string, position: number, message: string][] = [
    ['one "two', 5, 'the quotation mark is never closed'],
    ['😀 -"two', 4, 'the quotation mark is never closed'],
    ['from:', 1, 'from: needs a value'],
    ['one in:" "', 5, 'in: needs a value'],
    ['has:cheese', 1, 'has: takes link, file, image, video, audio'],
    ['is:nice', 1, 'is: takes pinned'],
    ['x before:yesterday', 3, 'before: takes a date such as 2026-01-31, 2026-01 or 2026'],
    ['on:2023-02-29', 1, 'on: takes a date such as 2026-01-31, 2026-01 or 2026'],
    ['on:0000', 1, 'on: takes a date such as 2026-01-31, 2026-01 or 2026'],
    ['during:2024-01-01T00:00', 1, 'during: takes a date such as 2026-01-31, 2026-01 or 2026'],
    ['a '.repeat(33), 65, 'at most 32 terms are taken'],
  ]
  test.each(faults)('%s is refused', (query, position, message) => expect(fault(query)).toEqual([position, message]))
})

import { describe, expect, test } from 'bun:test'
import { API_TOKEN_PREFIX, isApiToken, isWellFormedApiToken, newApiToken } from '../src/index.ts'

test('an API token is one word that scanners for secrets can know, and never the same twice', () => {
  const made = Array.from({ length: 1_000 }, newApiToken)
  for (const token of made) {
    expect(token).toMatch(/^conntext_[0-9A-Za-z]{49}$/)
    expect(isApiToken(token) && isWellFormedApiToken(token)).toBe(true)
  }
  expect(new Set(made).size).toBe(made.length)
})

// Known for good: whoever wrote tokens down must be able to use them with every later version.
test('the checksum is the CRC-32 of what is before it, in base 62', () => {
  const body = `${API_TOKEN_PREFIX}${'0'.repeat(43)}`
  expect(isWellFormedApiToken(`${body}1JssGI`)).toBe(true)
})

describe('what is no API token', () => {
  const token = newApiToken()
  const flipped = (index: number) => token.slice(0, index) + (token[index] === 'x' ? 'y' : 'x') + token.slice(index + 1)

  test('is one with any character changed', () => {
    for (let i = 0; i < token.length; i += 1) expect(isWellFormedApiToken(flipped(i))).toBe(false)
  })

  test.each([
    ['nothing', ''],
    ['the prefix alone', API_TOKEN_PREFIX],
    ['one cut short', token.slice(0, -1)],
    ['one with more behind it', `${token}0`],
    ['one with a line behind it', `${token}\n`],
    ['one in capitals', token.toUpperCase()],
    ['one with a character that it cannot have', `${token.slice(0, 20)}-${token.slice(21)}`],
    ['a very long one', `${API_TOKEN_PREFIX}${'a'.repeat(100_000)}`],
  ])('is %s', (_, text) => expect(isWellFormedApiToken(text)).toBe(false))
})

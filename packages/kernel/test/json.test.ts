import { expect, test } from 'bun:test'
import { MAX_JSON_DEPTH, parseJson } from '../src/index.ts'

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

test.each(['{"a":[1,"x",null]}', '"[[[["', '7', ' [ ] ', '"\\""'])('%p is read as JSON.parse does', (text) => {
  expect(parseJson(text)).toEqual(JSON.parse(text))
})

test('as deep as allowed is read, one deeper is not', () => {
  expect(parseJson(nested(MAX_JSON_DEPTH))).toBeArray()
  expect(() => parseJson(nested(MAX_JSON_DEPTH + 1))).toThrow(SyntaxError)
  expect(() => parseJson(`${'{"a":'.repeat(MAX_JSON_DEPTH + 1)}1`)).toThrow('deeper')
})

test('brackets side by side, or within a text, are not depth', () => {
  const wide = `[${Array(1_000).fill('[{}]').join()}]`
  expect(parseJson(wide)).toHaveLength(1_000)
  const quoted = JSON.stringify({ text: `\\"${'['.repeat(1_000)}"\\` })
  expect(parseJson(quoted)).toEqual(JSON.parse(quoted))
})

test('a megabyte of brackets is refused at once', () => {
  const began = performance.now()
  expect(() => parseJson(nested(500_000))).toThrow(SyntaxError)
  expect(() => parseJson('['.repeat(1_000_000))).toThrow(SyntaxError)
  expect(performance.now() - began).toBeLessThan(1_000)
})

test.each(['', '{', '[1,]', 'undefined', '{"a":1'])('%p is no JSON', (text) => {
  expect(() => parseJson(text)).toThrow(SyntaxError)
})

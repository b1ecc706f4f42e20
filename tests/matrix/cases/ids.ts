import type { Case, Subject } from './case.ts'

// A well-formed UUIDv7 of a day long past.
const NOBODY = '01800000-0000-7000-8000-000000000000'

const MALFORMED = [
  'nope',
  '0',
  '-1',
  'null',
  'undefined',
  '[object Object]',
  ' ',
  '*',
  '@everyone',
  '🦄',
  "'; drop table users; --",
  '<script>',
  'a'.repeat(300),
  '00000000-0000-0000-0000-00000000000g',
]

/** Ids of nothing, and ids that are none. */
export function idCases({ operation, good }: Subject): Case[] {
  return operation.parameters
    .filter((one) => one.in === 'path')
    .flatMap(({ name }) => {
      const known = good.path[name]!
      // What can't be a channel is, like a hidden one, no channel.
      const malformed = name === 'channelId' ? 404 : 422
      const one = (value: string, expect: number): Case => ({
        name: `${name} = ${value.slice(0, 40)}`,
        expect,
        change: ({ path }) => ({ path: { ...path, [name]: value } }),
      })
      return [
        one(NOBODY, 404),
        ...[...MALFORMED, known.toUpperCase(), `${known} `, `{${known}}`, known.replaceAll('-', '')].map((value) =>
          one(value, malformed),
        ),
      ]
    })
}

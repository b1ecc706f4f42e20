import { compile } from '../document.ts'
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

// What isn't there is made; and what was begun with one provider is nothing at another.
const ofUnknown: Record<string, Case['expect']> = {
  setOidcProvider: 'success',
  removeOidcProvider: [204, 404],
  completeOidcLogin: 400,
  // Somebody who hasn't reacted has no reaction that is to go.
  'removeReaction userId': 204,
  // Nor is anybody blocked who isn't.
  unblockUser: 204,
}

// Any text may stand there, but it has to be an emoji.
const ofEmoji = (value: string): Case['expect'] => (value === '🦄' ? 'success' : 422)

/** Ids of nothing, and ids that are none. */
export function idCases({ operation, good }: Subject): Case[] {
  return operation.parameters
    .filter((one) => one.in === 'path')
    .flatMap(({ name, schema }) => {
      const known = good.path[name]!
      const check = compile(schema)
      // What can't be a channel is, like a hidden one, no channel.
      const malformed = name === 'channelId' ? 404 : 422
      const unknown = ofUnknown[`${operation.id} ${name}`] ?? ofUnknown[operation.id] ?? 404
      const values = [NOBODY, ...MALFORMED, known.toUpperCase(), `${known} `, `{${known}}`, known.replaceAll('-', '')]
      return values
        .filter((value) => value !== known)
        .map(
          (value): Case => ({
            name: `${name} = ${value.slice(0, 40)}`,
            expect: name === 'emoji' ? ofEmoji(value) : check(value) ? unknown : malformed,
            fresh: value === NOBODY,
            change: ({ path }) => ({ path: { ...path, [name]: value } }),
          }),
        )
    })
}

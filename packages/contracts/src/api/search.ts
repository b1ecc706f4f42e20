import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Limit, Nullable, Shape } from './common.ts'
import { Message } from './messaging.ts'

export const SearchSort = Enumeration(['relevance', 'newest', 'oldest'], { title: 'SearchSort' })
export type SearchSort = Static<typeof SearchSort>

export const SearchQuery = Fields({
  q: Type.String({
    minLength: 1,
    maxLength: 1000,
    description:
      'Words, of which all must be there, "phrases", and `from:`, `in:`, `has:`, `mentions:`, `is:`, `before:`, ' +
      '`after:`, `on:`, `during:`; what stands behind a `-` must not be there. A word ending in `*`, and the last one ' +
      'unless it is quoted, stands for all that begin with it.',
  }),
  sort: Type.Optional(SearchSort),
  limit: Limit,
  cursor: Cursor,
})
export type SearchQuery = Static<typeof SearchQuery>

export const Highlight = Shape('Highlight', {
  start: Type.Integer({ minimum: 0, description: 'In Unicode code points of the content' }),
  length: Type.Integer({ minimum: 1 }),
})
export type Highlight = Static<typeof Highlight>

export const SearchHit = Shape('SearchHit', {
  message: Message,
  score: Nullable(Type.Number({ description: 'How well it fits; null where nothing was ranked' })),
  highlights: Type.Array(Highlight, { description: 'Where the words stand in the content: at most 100, ascending' }),
})
export type SearchHit = Static<typeof SearchHit>

export const SearchPage = Shape('SearchPage', {
  items: Type.Array(SearchHit),
  nextCursor: Nullable(Type.String()),
  isComplete: Type.Boolean({
    description: 'False while older messages are still being made searchable; the newest are always found',
  }),
})
export type SearchPage = Static<typeof SearchPage>

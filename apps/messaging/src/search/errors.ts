import { defineErrors } from '@conntext/kernel'

export const searchErrors = defineErrors('search', {
  invalidQuery: { status: 422, title: 'The query could not be understood' },
  empty: { status: 422, title: 'There is nothing in the query to search for' },
  tooSlow: { status: 503, title: 'The search takes too long: ask for something rarer, or for a shorter time' },
  overloaded: { status: 503, title: 'More is being searched than can be at the moment' },
})

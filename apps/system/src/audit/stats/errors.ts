import { defineErrors } from '@conntext/kernel'

export const statsErrors = defineErrors('audit', {
  tooManyIntervals: { status: 422, title: 'The window has too many intervals' },
  tooMuchToCount: { status: 422, title: 'That is too much to count at once' },
  badTimeZone: { status: 422, title: 'There is no such time zone' },
})

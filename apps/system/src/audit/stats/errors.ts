import { defineErrors } from '@conntext/kernel'

export const statsErrors = defineErrors('audit', {
  tooManyIntervals: { status: 422, title: 'The window has too many intervals' },
  badTimeZone: { status: 422, title: 'There is no such time zone' },
})

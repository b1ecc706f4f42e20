import { defineErrors } from '@conntext/kernel'

export const passwordErrors = defineErrors('password', {
  busy: { status: 503, title: 'Too many people are logging in at once' },
})

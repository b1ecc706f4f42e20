import { defineErrors } from '@conntext/kernel'

export const passwordErrors = defineErrors('password', {
  busy: { status: 503, title: 'Too many people are logging in at once' },
  resetTokenInvalid: { status: 400, title: 'The code is wrong or no longer good; ask for another' },
  resetThrottled: { status: 429, title: 'Too many requests to set a new password; wait before the next' },
})

import { defineErrors } from '@conntext/kernel'

export const loginErrors = defineErrors('login', {
  failed: { status: 401, title: 'The user name or the password is wrong' },
  throttled: { status: 429, title: 'Too many failed logins; wait before the next' },
})

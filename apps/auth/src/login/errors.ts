import { defineErrors } from '@conntext/kernel'

export const loginErrors = defineErrors('login', {
  failed: { status: 401, title: 'The user name or the password is wrong' },
  secondFactorFailed: { status: 401, title: 'The second factor was not accepted, or came too late' },
  passkeyFailed: { status: 401, title: 'The passkey was not accepted' },
  banned: { status: 403, title: 'You are banned from this server' },
  throttled: { status: 429, title: 'Too many failed logins; wait before the next' },
})

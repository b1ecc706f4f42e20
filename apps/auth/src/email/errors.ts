import { defineErrors } from '@conntext/kernel'

export const emailErrors = defineErrors('email', {
  none: { status: 409, title: 'The account has no email address' },
  alreadyVerified: { status: 409, title: 'The email address has been verified already' },
  tokenInvalid: { status: 400, title: 'The code is wrong, or was for another address, or is no longer good' },
  throttled: { status: 429, title: 'Too many mails; wait before the next' },
})

import { defineErrors } from '@conntext/kernel'

export const confirmationErrors = defineErrors('confirmation', {
  required: { status: 403, title: 'This takes proof that it is still you' },
  failed: { status: 403, title: 'The password or the code is wrong' },
  throttled: { status: 429, title: 'Too many wrong passwords or codes; wait before the next' },
})

import { defineErrors } from '@conntext/kernel'

/** Told to the operator alone. */
export const accountErrors = defineErrors('account', {
  notFound: { status: 404, title: 'Nobody has this user name' },
  notForUse: { status: 409, title: 'This account cannot be logged in to' },
})

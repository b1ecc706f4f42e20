import { defineErrors } from '@conntext/kernel'

export const userErrors = defineErrors('user', {
  notFound: { status: 404, title: 'No such user' },
  emailTaken: { status: 409, title: 'Another account has this email address' },
})

import { defineErrors } from '@conntext/kernel'

export const userErrors = defineErrors('user', {
  notFound: { status: 404, title: 'No such user' },
  isOwner: { status: 409, title: 'The owner hands the server over before going' },
  emailTaken: { status: 409, title: 'Another account has this email address' },
})

import { defineErrors } from '@conntext/kernel'

export const tokenErrors = defineErrors('token', {
  notFound: { status: 404, title: 'No such API token' },
  scopeNotHeld: { status: 403, title: 'You cannot give an API token a scope that you do not have' },
  tooMany: { status: 409, title: 'The account has as many API tokens as it can' },
})

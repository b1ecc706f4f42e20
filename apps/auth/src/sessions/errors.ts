import { defineErrors } from '@conntext/kernel'

export const sessionErrors = defineErrors('session', {
  notFound: { status: 404, title: 'No such session' },
  refreshTokenInvalid: { status: 401, title: 'The refresh token is not valid; log in again' },
})

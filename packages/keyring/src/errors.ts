import { defineErrors } from '@conntext/kernel'

export const keyringErrors = defineErrors('keyring', {
  stale: { status: 503, title: 'The server could not look for its keys for too long; it tries again' },
})

import { defineErrors } from '@conntext/kernel'

export const logErrors = defineErrors('logs', {
  badWindow: { status: 422, title: 'The window of time is not valid' },
})
